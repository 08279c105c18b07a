# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.probability_mse import ProbabilityMSELoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import DenseLossChecks


class TestProbabilityMSELoss(DenseLossChecks):
    def build(self, **options):
        return ProbabilityMSELoss(**options)

    def row(self, student, teacher):
        total = 0.0
        for s, t in zip(student, teacher, strict=True):
            p_s = math.exp(s) / sum(math.exp(z) for z in student)
            p_t = math.exp(t) / sum(math.exp(z) for z in teacher)
            total += (p_s - p_t) ** 2
        return total / len(student)

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match=r"ProbabilityMSELoss: .*softmax over one class.*use sigmoid=True"):
            self.build()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))

    def test_certain_and_opposite_gives_its_largest_value(self):
        target = torch.tensor([[100.0, -100.0]])
        assert self.build()(-target, target) == 1.0


class TestProbabilityMSELossOfSigmoid(DenseLossChecks):
    shapes = (*DenseLossChecks.shapes, (2, 1, 3, 4))

    def build(self, **options):
        return ProbabilityMSELoss(sigmoid=True, **options)

    def row(self, student, teacher):
        pairs = zip(student, teacher, strict=True)
        return sum((1 / (1 + math.exp(-s)) - 1 / (1 + math.exp(-t))) ** 2 for s, t in pairs) / len(student)

    def test_one_label_is_two_classes(self):
        input, target = self.pair((2, 1, 3, 4))
        two = [torch.cat([torch.zeros_like(x), x], 1) for x in (input, target)]
        torch.testing.assert_close(self.build()(input, target), ProbabilityMSELoss()(*two))
