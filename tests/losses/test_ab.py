# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.ab import ABLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestABLoss(LossChecks):
    test_identical_networks_give_zero = None  # a teacher within the margin is not far enough itself; checked below
    test_different_networks_give_more = None  # and a farther student gives less
    near = 1e-4  # within the margin the numbers of float32 themselves decide
    scaler = 1.0  # a sum over entries
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return ABLoss(margin=0.7)

    def oracle(self, input, target):
        total = 0.0
        for s, t in zip(input.flatten().tolist(), target.flatten().tolist(), strict=True):
            if t <= 0 and s > -0.7:
                total += (s + 0.7) ** 2
            if t > 0 and s <= 0.7:
                total += (s - 0.7) ** 2
        return total / len(input)

    def test_beyond_the_margin_nothing_is_asked(self, shape):
        _, target = self.pair(shape)
        target = torch.where(target > 0, target + 0.7, target - 0.7)
        value, gradient = self.run(self.build(), target.clone(), target)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_margin_must_be_positive(self):
        with pytest.raises(ConfigError, match="margin must be a positive number"):
            ABLoss(0.0)

    def test_nan_of_the_teacher_is_not_hidden(self):
        input, target = self.pair((2, 3))
        target[1, 2] = torch.nan
        assert self.build()(input, target).isnan()
