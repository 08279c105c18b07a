# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses.binary_kd import BinaryKDLoss
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ConfigError
from tests.losses.dense_loss_checks import DenseLossChecks


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


class TestBinaryKDLoss(DenseLossChecks):
    shapes = (*DenseLossChecks.shapes, (2, 1, 3, 4))

    def build(self, **options):
        return BinaryKDLoss(temperature=3.0, **options)

    def row(self, student, teacher):
        total = 0.0
        for s, t in zip(student, teacher, strict=True):
            for sign in (1, -1):  # present, absent
                p_s, p_t = sigmoid(sign * s / 3.0), sigmoid(sign * t / 3.0)
                total += p_t * (math.log(p_t) - math.log(p_s))
        return 3.0**2 * total

    def test_default_temperature_is_2(self):
        input, target = self.pair((4, 5))
        torch.testing.assert_close(BinaryKDLoss()(input, target), 4 * BinaryKDLoss(1)(input / 2, target / 2))

    def test_is_cross_entropy_less_entropy(self):
        input, target = self.pair((4, 5))
        p = target.sigmoid()
        ce = F.binary_cross_entropy_with_logits(input, p) - F.binary_cross_entropy_with_logits(target, p)
        torch.testing.assert_close(BinaryKDLoss(1.0)(input, target), 5 * ce)

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_labels_may_be_averaged(self, shape, reduction):
        input, target = self.pair(shape)
        summed = self.build(reduction=reduction)(input, target)
        averaged = self.build(reduction=reduction, label_reduction="mean")(input, target)
        torch.testing.assert_close(averaged, summed / shape[1])

    def test_mean_over_labels_is_torchs(self):
        input, target = self.pair((4, 5))
        p = target.sigmoid()
        ce = F.binary_cross_entropy_with_logits(input, p) - F.binary_cross_entropy_with_logits(target, p)
        torch.testing.assert_close(BinaryKDLoss(1.0, label_reduction="mean")(input, target), ce)

    def test_unknown_label_reduction_is_refused(self):
        with pytest.raises(ConfigError, match="label_reduction must be 'sum' or 'mean', got 'avg'"):
            BinaryKDLoss(label_reduction="avg")

    def test_one_label_is_two_classes(self):
        input, target = self.pair((2, 1, 3, 4))
        two = [torch.cat([torch.zeros_like(x), x], 1) for x in (input, target)]
        torch.testing.assert_close(self.build()(input, target), KDLoss(3.0)(*two))

    def test_sharp_logits_are_exact(self):
        input, target = (300 * torch.randn(64, 10) for _ in range(2))
        value, gradient = self.run(BinaryKDLoss(1.0), input, target)
        p = target.double().sigmoid()
        exact = F.binary_cross_entropy_with_logits(input.double(), p, reduction="sum") / 64
        exact -= F.binary_cross_entropy_with_logits(target.double(), p, reduction="sum") / 64
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - (input.double().sigmoid() - p) / 64).abs().max() < 1e-6

    def test_temperature_must_be_positive(self):
        with pytest.raises(ConfigError, match="temperature must be a positive number, got 0"):
            BinaryKDLoss(0)
