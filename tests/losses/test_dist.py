# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.dist import DISTLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def correlation(a: list[float], b: list[float]) -> float:
    a, b = ([x - sum(v) / len(v) for x in v] for v in (a, b))
    size = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / (size + 1e-8)


class TestDISTLoss(LossChecks):
    scale = 2.0
    test_identical_networks_give_zero = None  # eps is added to the product of the lengths; checked below
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
    )

    def build(self):
        return DISTLoss(beta=2.0, gamma=3.0, temperature=1.5)

    def oracle(self, input, target):
        p_s, p_t = ([softmax(row, 1.5) for row in x.movedim(1, -1).flatten(0, -2).tolist()] for x in (input, target))
        rows = [1 - correlation(a, b) for a, b in zip(p_s, p_t, strict=True)]
        classes = [
            1 - correlation(a, b) for a, b in zip(*(map(list, zip(*p, strict=True)) for p in (p_s, p_t)), strict=True)
        ]
        return 2.25 * (2.0 * sum(rows) / len(rows) + 3.0 * sum(classes) / len(classes))

    def test_identical_networks_give_nearly_zero(self, shape):
        """Defect 2: with the wrong sign an identical network was worse than an independent one."""
        input, target = self.pair(shape)
        same, gradient = self.run(self.build(), target.clone(), target)
        assert 0 <= same < 1e-4 and gradient.abs().max() < 1e-4
        assert same < self.build()(input, target) < self.build()(-target, target)

    def test_near_the_teacher_no_digit_is_lost(self, shape):
        input, target = self.pair(shape, torch.float32, apart=1e-2)
        value, gradient = self.run(self.build(), input, target)
        exact, direction = self.run(self.build(), input.double(), target.double())
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - direction).norm() <= 1e-4 * direction.norm()

    def test_dense_logits_are_rows(self, shape):
        input, target = self.pair(shape)
        flat = [x.movedim(1, -1).flatten(0, -2) for x in (input, target)]
        torch.testing.assert_close(self.build()(input, target), self.build()(*flat), rtol=1e-12, atol=0)

    def test_shifted_logits_are_the_same(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(input + 7, target), self.build()(input, target))

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match="softmax over one class"):
            self.build()(torch.zeros(2, 1), torch.zeros(2, 1))

    def test_term_knows_that_rows_belong_together(self):
        assert DISTLoss.relational is True
