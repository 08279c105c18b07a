# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from monai_kd.data import pseudo_labels
from monai_kd.handlers import Checkpoint, PseudoLabeling, Snapshot
from monai_kd.networks import PseudoLabelBank, Teacher
from monai_kd.utils import ConfigError, DataError
from tests.nets import LABEL, Classifier, images, make_trainer
from tests.ranks import result, run_on_two_ranks

QUOTAS = [1, 0.5]
PSEUDO = {"loss": torch.nn.CrossEntropyLoss(), "inputs": ["student", "pseudo.label"], "where": "pseudo.chosen"}


def pool() -> list[dict[str, Tensor]]:
    return [{"image": images(4), "index": torch.arange(4) + 4 * i} for i in range(3)]


def run(data: list, epochs: int, every: int = 2, handlers=(), bank: PseudoLabelBank | None = None):
    """Train, and note the pseudo-labels and what the teacher would say at every epoch's end."""
    student, bank = Classifier(dropout=0.5), bank or PseudoLabelBank(12)
    teacher, seen, would = Teacher.copy_of(student), {}, {}
    moving = [Snapshot(teacher, student, every, restart=True), PseudoLabeling(bank, data, QUOTAS, every)]
    training = [{**b, "label": torch.randint(0, 3, (4,))} for b in data]
    passes = {"teacher": {"network": teacher}, "pseudo": {"keys": "index", "network": bank}}
    terms = {"label": LABEL, "pseudo": PSEUDO}
    trainer = make_trainer(student, passes, terms, training, epochs, train_handlers=[*moving, *handlers])

    def note(engine):
        seen[engine.state.epoch] = bank.labels.tolist()
        would[engine.state.epoch] = [pseudo_labels(data, lambda b: teacher(b["image"]), quota) for quota in QUOTAS]

    trainer.add_event_handler("EPOCH_COMPLETED", note)
    trainer.run()
    return seen, would, student


def test_the_last_round_labels_for_the_next_and_no_one_else():
    seen, would, student = run(pool(), 8)
    assert seen[1] == seen[2] == [-1] * 12
    assert seen[3] == seen[4] == [would[3][0].get(i, -1) for i in range(12)]
    assert seen[5] == seen[6] == seen[7] == seen[8] == [would[5][1].get(i, -1) for i in range(12)]
    assert 0 < len(would[3][0]) < len(would[5][1])
    assert all(layer.training for layer in student.modules())


def test_the_student_itself_labels_in_eval_mode_what_it_is_sure_of():
    student, bank, data = Classifier(dropout=0.5), PseudoLabelBank(12), pool()
    trainer = make_trainer(student, {}, {"label": LABEL}, data)
    sure = torch.cat([copy.deepcopy(student).eval()(b["image"]) for b in data]).softmax(1).amax(1).median().item()
    PseudoLabeling(bank, data, [12], every=1, threshold=sure, answer="student").label(trainer, 12)
    assert student.training and student.norm.num_batches_tracked == 0
    expected = pseudo_labels(data, lambda b: student.eval()(b["image"]), 12, sure)
    assert bank.labels.tolist() == [expected.get(i, -1) for i in range(12)] and 0 < len(expected) <= 6


def test_a_resumed_run_has_the_same_labels(tmp_path):
    data, whole = pool(), PseudoLabelBank(12)
    torch.manual_seed(0)
    run(data, 3, handlers=[Checkpoint(tmp_path)], bank=whole)
    resumed = PseudoLabelBank(12)
    seen, *_ = run(data, 4, handlers=[Checkpoint(tmp_path, resume=True)], bank=resumed)
    assert seen.keys() == {4}
    assert resumed.labels.equal(whole.labels) and (whole.labels >= 0).any()


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="0 quotas"):
        PseudoLabeling(PseudoLabelBank(2), [], [], every=1)
    with pytest.raises(ConfigError, match="every 0 epochs"):
        PseudoLabeling(PseudoLabelBank(2), [], [1], every=0)
    labelled = [{**b, "labeled": torch.tensor([False, True, False, False])} for b in pool()]
    with pytest.raises(DataError, match="true label"):
        run(labelled, 3)


def on_a_rank(case: str, rank: int) -> dict[str, Tensor]:
    """Two processes whose pictures differ, as they would by rounding."""
    torch.manual_seed(0)
    data = pool()
    if rank:
        data = [{**b, "image": images(4)} for b in data]
    bank = PseudoLabelBank(12)
    run(data, 3, bank=bank)
    return {"labels": bank.labels}


@pytest.mark.slow
def test_all_processes_have_the_labels_of_the_first(tmp_path: Path):
    run_on_two_ranks(on_a_rank, ["one"], tmp_path)
    first, second = result(tmp_path, "one")
    assert first["labels"].equal(second["labels"]) and (first["labels"] >= 0).any()
