# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_kd.losses.curriculum_kd import CurriculumKDLoss
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.dense_loss_checks import DenseLossChecks


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class At3(nn.Module):
    """The loss at a temperature of 3."""

    def __init__(self, **options):
        super().__init__()
        self.loss = CurriculumKDLoss(**options)

    def forward(self, input, target, mask=None):
        return self.loss(input, target, temperature=torch.tensor(3.0), mask=mask)


class TestCurriculumKDLoss(DenseLossChecks):
    def build(self, **options):
        return At3(**options)

    def row(self, student, teacher):
        p_s, p_t = softmax(student, 3.0), softmax(teacher, 3.0)
        return 9.0 * sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))

    def test_is_kd(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(input, target), KDLoss(3.0)(input, target))

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_temperature_gets_the_gradient_of_both_softmaxes(self, shape, reduction):
        (input, target), loss = self.pair(shape), CurriculumKDLoss(reduction)
        temperature = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
        mask = torch.rand((shape[0], *shape[2:])) < 0.7
        for m in (None, mask):
            assert torch.autograd.gradcheck(lambda t, m=m: loss(input.detach(), target, t, mask=m), temperature)

    def test_temperature_is_a_scalar(self):
        with pytest.raises(ShapeMismatchError, match=r"temperature is \(2,\), no scalar"):
            CurriculumKDLoss()(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2))
