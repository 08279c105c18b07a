# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K17: what is published is the plain student, whatever it was trained with."""

from __future__ import annotations

import torch

from monai_kd.handlers import EMA, Checkpoint, FinalModelSaver
from monai_kd.losses import HintLoss
from monai_kd.networks import Connector, Teacher
from tests.nets import HINT, LABEL, MIMIC, Classifier, batches, make_trainer, same


def test_file_and_checkpoint_have_the_plain_networks_keys_and_nothing_more(tmp_path):
    student, teacher = Classifier(width=96), Classifier(width=64)
    average = Teacher.copy_of(student)
    passes = {
        "student": {"taps": HINT},
        "teacher": {"network": Teacher(teacher), "taps": HINT},
        "average": {"keys": "image_2", "network": average},
        "connector": {"keys": "student.hint", "network": Connector(2, 96, 64)},
    }
    terms = {
        "label": LABEL,
        "kd": MIMIC,
        "hint": {"loss": HintLoss(), "inputs": ["connector", "teacher.hint"]},
        "consistency": {**MIMIC, "inputs": ["student", "average"]},
    }
    handlers = [Checkpoint(tmp_path), EMA(average, student), FinalModelSaver(student, tmp_path / "model.pt")]
    make_trainer(student, passes, terms, batches(), train_handlers=handlers).run()
    torch.save(Classifier(width=96).state_dict(), tmp_path / "plain.pt")
    published = torch.load(tmp_path / "model.pt", weights_only=True)
    plain = Classifier(width=96)
    plain.load_state_dict(published, strict=True)
    assert same(student, published) and list(published) == list(plain.state_dict())
    sizes = [(tmp_path / name).stat().st_size for name in ("model.pt", "plain.pt")]
    assert abs(sizes[0] / sizes[1] - 1) < 0.01
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["network"].keys() == published.keys() and set(kept["passes"]) == {"connector"}
