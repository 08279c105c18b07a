# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.kd import KDLoss
from monai_kd.losses.soft_target_kd import SoftTargetKDLoss
from tests.losses.dense_loss_checks import DenseLossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a)


class TestSoftTargetKDLoss(DenseLossChecks):
    test_identical_networks_give_zero = None  # one gives logits, the other probabilities
    test_different_networks_give_more = None
    test_near_the_teacher_no_digit_is_lost = None  # checked below, with the logarithm of the probabilities
    test_constants_are_finite = None  # negative numbers are no probabilities; checked below
    test_largest_half_numbers_are_as_good = None
    test_nothing_outside_of_the_mask_counts = None  # a mask keeps infinite entries out in every loss: `keep_selected`

    def pair(self, shape, dtype=torch.float64, apart=None):
        input, target = super().pair(shape, dtype, apart)
        return [input, target.softmax(1)]

    def build(self, **options):
        return SoftTargetKDLoss(temperature=2.0, **options)

    def row(self, student, teacher):
        return 4.0 * kl([p / sum(teacher) for p in teacher], softmax(student, 2.0))

    def test_is_kd_from_the_teachers_probabilities(self, shape):
        input, target = (torch.randn(shape, dtype=torch.float64) for _ in range(2))
        value = self.build()(input, (target / 2).softmax(1))
        torch.testing.assert_close(value, KDLoss(2.0)(input, target), rtol=1e-10, atol=0)

    def test_near_the_teacher_the_value_is_exact(self):
        target = torch.randn(64, 5).softmax(1)
        input = 2 * target.log() + 1e-3 * torch.randn(64, 5)
        exact = self.build()(input.double(), target.double())
        assert self.build()(input, target).item() == pytest.approx(exact.item(), rel=1e-5)

    def test_certain_and_empty_targets_are_finite(self):
        for target in (torch.eye(3), torch.zeros(3, 3)):
            self.assert_finite(6e4 * torch.eye(3).flip(0), target)
