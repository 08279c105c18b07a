# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.curriculum_kd import CurriculumKDLoss
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ClassMismatchError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class TestCurriculumKDLoss(LossChecks):
    scale = 3.0
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
    )

    def build(self):
        return CurriculumKDLoss()

    def extras(self, shape):
        return {"temperature": torch.tensor(3.0)}

    def oracle(self, input, target, temperature):
        values = []
        for s, t in zip(*(x.movedim(1, -1).flatten(0, -2).tolist() for x in (input, target)), strict=True):
            p_s, p_t = softmax(s, 3.0), softmax(t, 3.0)
            values.append(9.0 * sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True)))
        return sum(values) / len(values)

    def test_is_kd(self, shape):
        input, target = self.pair(shape)
        value = self.build()(input, target, **self.extras(shape))
        torch.testing.assert_close(value, KDLoss(3.0)(input, target))

    def test_temperature_gets_the_gradient_of_both_softmaxes(self, shape):
        input, target = self.pair(shape)
        temperature = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t: self.build()(input.detach(), target, t), temperature)

    def test_temperature_is_a_scalar(self):
        with pytest.raises(ShapeMismatchError, match=r"temperature is \(2,\), no scalar"):
            self.build()(torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2))
