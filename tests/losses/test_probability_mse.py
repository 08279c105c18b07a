# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.probability_mse import ProbabilityMSELoss
from monai_kd.utils import ClassMismatchError, ConfigError
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


class TestProbabilityMSELossOfWeightedClasses(DenseLossChecks):
    shapes = ((4, 3), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    volume = (4, 3, 32, 32, 32)

    def build(self, **options):
        return ProbabilityMSELoss(weight=[1, 2, 3], **options)

    def row(self, student, teacher):
        p_s, p_t = ([math.exp(x) / sum(math.exp(y) for y in z) for x in z] for z in (student, teacher))
        return sum(w * (s - t) ** 2 for w, s, t in zip((1, 2, 3), p_s, p_t, strict=True)) / 3

    test_never_broadcasts = None  # there, with other numbers of classes

    def test_a_weight_for_each_class(self):
        with pytest.raises(ClassMismatchError, match="3 weights for 2 classes"):
            self.build()(torch.zeros(1, 2), torch.zeros(1, 2))
