# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K8: answers near the largest number of half precision, in which the formula overflows, train a student."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.losses import KDLoss
from monai_kd.networks import Teacher
from tests.nets import images, make_trainer, same, state_of


class Loud(nn.Module):
    """Answers in float16 with logits of 6e4 and -6e4."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (6e4 * torch.tanh(1e3 * self.head(x.flatten(1)))).half()


def test_the_formula_in_half_precision_is_not_finite():
    student, teacher = torch.tensor([[6e4, -6e4]]).half(), torch.tensor([[-6e4, 6e4]]).half()
    terms = teacher.softmax(1) * (teacher.softmax(1).log() - student.softmax(1).log())
    assert not terms.sum().isfinite()


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_loss_is_finite_and_so_is_the_student(temperature):
    torch.manual_seed(0)
    student, teacher = Loud(), Loud()
    before, taught = state_of(student), state_of(teacher)
    terms = {"kd": {"loss": KDLoss(temperature), "inputs": ["student", "teacher"], "weight": 1e-6}}
    data = [{"image": 0.01 * images()} for _ in range(3)]
    trainer = make_trainer(student, {"teacher": {"network": Teacher(teacher)}}, terms, data)
    trainer.run()
    assert trainer.state.output["loss"].isfinite() and all(p.isfinite().all() for p in student.parameters())
    assert not same(student, before) and same(teacher, taught)
