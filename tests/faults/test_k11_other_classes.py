# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K11: a teacher of other classes than the student's is never broadcast over them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.losses import KDLoss, LogitMSELoss, ProbabilityMSELoss
from monai_kd.networks import Teacher
from monai_kd.utils import ClassMismatchError
from tests.nets import Classifier, batches, make_trainer, state_of


def test_torch_broadcasts():
    few, many = torch.zeros(4, 1).log_softmax(1), torch.zeros(4, 5).softmax(1)
    assert nn.functional.kl_div(few, many, reduction="batchmean") < 0  # a divergence below zero, without a word


@pytest.mark.parametrize("loss", [KDLoss(), LogitMSELoss(), ProbabilityMSELoss()])
@pytest.mark.parametrize("classes", [1, 2])
def test_both_numbers_are_told_and_nothing_moves(loss, classes):
    student = Classifier(classes=classes)
    before = {name: value for name, value in state_of(student).items() if "norm" not in name}
    terms = {"kd": {"loss": loss, "inputs": ["student", "teacher"]}}
    trainer = make_trainer(student, {"teacher": {"network": Teacher(Classifier(classes=5))}}, terms, batches())
    with pytest.raises(ClassMismatchError, match=rf"{classes}.*5|5.*{classes}"):
        trainer.run()
    after = student.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())
