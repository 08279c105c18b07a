# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_kd.data import BagDataset, collate_bags
from monai_kd.engines import DistillationEvaluator
from monai_kd.handlers import BagPredictions
from monai_kd.inferers import DistillationInferer
from monai_kd.networks import AttentionPooling
from monai_kd.report.files import read_predictions
from monai_kd.utils.errors import DataError

NAMES = ["b", "a", "b", "c", "b", "a"]
LABELS = [0, 0, 1, 0, 0, 0]


def evaluator(folder, names=NAMES) -> DistillationEvaluator:
    """Bags of three, two and one instances, two a batch."""
    items = [
        {"image": torch.full((3,), float(i)), "label": y, "case": str(i), "group": g}
        for i, (y, g) in enumerate(zip(LABELS, NAMES, strict=True))
    ]
    passes = {"student": {}, "teacher": {"keys": ["image", "bag"], "network": AttentionPooling(3, 2, hidden=4)}}
    return DistillationEvaluator(
        "cpu",
        DataLoader(BagDataset(items, names), batch_size=2, collate_fn=collate_bags),
        nn.Linear(3, 2),
        inferer=DistillationInferer(passes),
        publish={"bag_pred": "teacher.logits"},
        val_handlers=[BagPredictions(folder)],
    )


def test_a_row_is_a_bag(tmp_path):
    engine = evaluator(tmp_path)
    engine.run()
    engine.run()  # a second run starts anew
    found = read_predictions(tmp_path / "bags.npz")  # as a report reads predictions, sorted by case
    assert found["case"].tolist() == found["group"].tolist() == ["a", "b", "c"]
    assert found["label"].tolist() == [0, 1, 0]
    teacher = engine.inferer.networks["teacher"].eval()
    for name, probability in zip(found["case"], found["probability"], strict=True):
        image = torch.tensor([[float(i)] * 3 for i, g in enumerate(NAMES) if g == name])
        logits = teacher(image, torch.zeros(len(image), dtype=torch.long))["logits"]
        assert probability == pytest.approx(logits.softmax(1)[0].detach().numpy(), abs=1e-6)
    lines = (tmp_path / "bags.csv").read_text().splitlines()
    assert lines[0] == "case,group,label,probability_0,probability_1" and len(lines) == 4
    assert not (tmp_path / "predictions.npz").exists()


def test_a_bag_in_two_batches_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"bag 'b'.*is in two batches"):
        evaluator(tmp_path, names=range(6)).run()


def test_a_batch_without_bags_is_refused(tmp_path):
    loader, handlers = DataLoader([{"image": torch.zeros(3), "label": 0, "group": "a"}]), [BagPredictions(tmp_path)]
    engine = SupervisedEvaluator("cpu", loader, nn.Linear(3, 2), val_handlers=handlers, decollate=False)
    with pytest.raises(DataError, match=r"BagPredictions.*no key 'bag' in the batch.*image, label, group"):
        engine.run()
    assert np.array_equal(list(tmp_path.iterdir()), [])
