# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.channel_gram import ChannelGramLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestChannelGramLoss(LossChecks):
    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4), (2, 9, 2, 2))  # the last has more channels than places
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 3, 4, 2), ShapeMismatchError, "`Connector`"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return ChannelGramLoss()

    def gram(self, features):
        return [
            sum(x * y for x, y in zip(a, b, strict=True)) / (len(rows) * len(a))
            for rows in features.flatten(2).tolist()
            for a in rows
            for b in rows
        ]

    def oracle(self, input, target):
        pairs = list(zip(self.gram(input), self.gram(target), strict=True))
        return (sum((s - t) ** 2 for s, t in pairs) / len(pairs)) ** 0.5

    def test_at_the_teacher_the_gradient_is_a_number(self):
        """Defect 20: the root's slope made it not a number."""
        target = torch.randn(2, 3, 4, 4)
        value, gradient = self.run(self.build(), target.clone(), target)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    @pytest.mark.parametrize("size", [(2, 3, 20), (2, 20, 3)])
    def test_both_ways_of_multiplying_are_exact_near_the_teacher(self, size):
        target = torch.randn(size)
        input = target + 1e-4 * torch.randn(size)
        expected = self.oracle(input.double(), target.double())
        assert self.build()(input, target).item() == pytest.approx(expected, rel=1e-5)
