# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.cross_pseudo_supervision import CrossPseudoSupervisionLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestCrossPseudoSupervisionLoss(LossChecks):
    test_identical_networks_give_zero = None  # a decision is not a probability
    test_different_networks_give_more = None
    scale = 3.0
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
    )

    def build(self):
        return CrossPseudoSupervisionLoss()

    def oracle(self, input, target):
        values = []
        for s, t in zip(*(x.movedim(1, -1).flatten(0, -2).tolist() for x in (input, target)), strict=True):
            decided = t.index(max(t))
            values.append(max(s) + math.log(sum(math.exp(z - max(s)) for z in s)) - s[decided])
        return sum(values) / len(values)

    def test_nothing_outside_of_the_mask_counts(self, shape):
        (input, target), mask = self.pair(shape), torch.ones((shape[0], *shape[2:]), dtype=torch.bool)
        mask[0] = False
        expected, _ = self.run(self.build(), input[1:], target[1:])
        with torch.no_grad():
            input[0], target[0] = torch.nan, torch.inf
        value, gradient = self.run(self.build(), input, target, mask=mask)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0]))

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match="softmax over one class"):
            self.build()(torch.zeros(2, 1), torch.zeros(2, 1))
