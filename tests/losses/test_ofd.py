# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.ofd import OFDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.mask_checks import MaskChecks


class TestOFDLoss(MaskChecks):
    test_identical_networks_give_zero = None  # below the margin the teacher is lifted to it; checked below
    largest, scaler = 1e4, 1.0  # a sum over entries: its gradient is as large as the numbers
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return OFDLoss()

    def oracle(self, input, target, margin=None, mask=None):
        total = 0.0
        weights = (torch.ones_like(input[:, 0]) if mask is None else mask).flatten().tolist()
        for c in range(input.shape[1]):
            teacher = target[:, c].flatten().tolist()
            below = [x for x, w in zip(teacher, weights, strict=True) if x < 0 and w]
            m = (sum(below) / len(below) if below else 0.0) if margin is None else float(margin[c])
            for s, t, w in zip(input[:, c].flatten().tolist(), teacher, weights, strict=True):
                t = max(t, m)
                total += w * (s - t) ** 2 if s > t or t > 0 else 0.0
        return total / len(input)

    def test_a_student_that_is_low_enough_is_left_alone(self, shape):
        _, target = self.pair(shape)
        target = -target.abs()
        value, gradient = self.run(self.build(), target - 10, target)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_a_positive_teacher_is_its_own_minimum(self, shape):
        _, target = self.pair(shape)
        value, gradient = self.run(self.build(), target.abs(), target.abs())
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_margin_may_be_given(self, shape):
        (input, target), margin = self.pair(shape), -torch.rand(shape[1], dtype=torch.float64)
        value = self.build()(input, target, margin=margin)
        assert value.item() == pytest.approx(self.oracle(input, target, margin), rel=1e-10)

    def test_one_margin_a_channel(self):
        with pytest.raises(ShapeMismatchError, match=r"margin is \(2,\).*one margin a channel"):
            self.build()(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.ones(2))
