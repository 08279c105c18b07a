# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.attention_transfer import AttentionTransferLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def unit(values: list[float]) -> list[float]:
    norm = math.sqrt(sum(v * v for v in values))
    return [v / norm for v in values] if norm else values


class TestAttentionTransferLoss(LossChecks):
    p = 2.0
    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"student is \(2, 3, 4, 4\), teacher \(1, 3, 4, 4\)"),
        ((2, 3, 4, 4), (2, 3, 4), ShapeMismatchError, r"teacher \(2, 3, 4\).*spatial"),
        ((2, 3), (2, 3), ShapeMismatchError, r"1, 2 or 3 spatial axes"),
    )

    def build(self):
        return AttentionTransferLoss(p=self.p)

    def attention(self, features: torch.Tensor) -> list[float]:
        """The unit attention of one sample, [C, *spatial]."""
        channels = features.flatten(1).tolist()
        return unit([sum(abs(x) ** self.p for x in place) / len(place) for place in zip(*channels, strict=True)])

    def oracle(self, input, target):
        squares = []
        for s, t in zip(input, target, strict=True):
            squares += [(a - b) ** 2 for a, b in zip(self.attention(s), self.attention(t), strict=True)]
        return sum(squares) / len(squares)

    @pytest.mark.parametrize("p", [1.0, 1.5, 3.0, 4.0])
    def test_other_powers(self, shape, p):
        self.p = p
        self.test_matches_plain_loop(shape, torch.float64, 1e-10)
        self.test_gradient_is_the_derivative(shape)
        self.test_constants_are_finite(shape)

    def test_channels_may_differ(self):
        input, target = torch.randn(2, 3, 4, 5).double(), torch.randn(2, 7, 4, 5).double()
        assert self.build()(input, target).item() == pytest.approx(self.oracle(input, target), rel=1e-10)

    def test_scale_of_a_sample_does_not_matter(self, shape):
        input, target = self.pair(shape, torch.float32)
        for factor in (1e-6, 1e6):
            torch.testing.assert_close(self.build()(factor * input, target), self.build()(input, target))

    def test_larger_map_is_pooled_block_by_block(self):
        """A teacher of twice the depth, three times the height and the same width, on maps that are no cubes."""
        small = torch.rand(2, 3, 2, 3, 4, dtype=torch.float64)
        large = torch.rand(2, 5, 4, 9, 4, dtype=torch.float64)
        pooled = torch.empty(2, 1, 2, 3, 4, dtype=torch.float64)
        for n, d, h, w in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 4))).tolist():
            block = large[n, :, 2 * d : 2 * d + 2, 3 * h : 3 * h + 3, w]
            pooled[n, 0, d, h, w] = block.abs().pow(self.p).mean().pow(1 / self.p)
        assert self.build()(small, large).item() == pytest.approx(self.oracle(small, pooled), rel=1e-10)
        assert self.build()(large, small).item() == pytest.approx(self.oracle(pooled, small), rel=1e-10)

    @pytest.mark.parametrize(
        ("student", "teacher", "size"),
        [((4, 8), (8, 4), (4, 4)), ((5, 3), (5, 7), (5, 3)), ((6,), (4,), (4,)), ((4, 6, 2), (2, 6, 8), (2, 6, 2))],
    )
    def test_every_axis_takes_the_smaller_size(self, student, teacher, size):
        """One bright channel of ones on either side looks everywhere alike, whatever its size."""
        input, target = torch.ones(1, 2, *student), torch.ones(1, 3, *teacher)
        assert self.build()(input, target) < 1e-12
        target[..., 0] = 5.0
        value, gradient = self.run(self.build(), input, target)
        assert value > 0 and gradient.shape == (1, 2, *student) and gradient.abs().max() > 0
        assert value * math.prod(size) <= 2.0

    def test_dead_student_is_not_perfect(self):
        """All zero after a ReLU: its unit attention is 0, as far from the teacher as its length, 1."""
        value, gradient = self.run(self.build(), torch.zeros(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
        assert value.item() == pytest.approx(1 / 16) and torch.equal(gradient, torch.zeros_like(gradient))

    def test_power_below_one_is_refused(self):
        with pytest.raises(ConfigError, match=r"p must be at least 1, got 0\.5"):
            AttentionTransferLoss(p=0.5)
