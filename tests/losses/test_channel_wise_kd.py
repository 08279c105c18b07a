# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.channel_wise_kd import ChannelWiseKDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.mask_checks import MaskChecks, mask_of


def softmax(logits: list[float], temperature: float, weights: list[float]) -> list[float]:
    powers = [w * math.exp((z - max(logits)) / temperature) for z, w in zip(logits, weights, strict=True)]
    return [x / sum(powers) for x in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a)


class TestChannelWiseKDLoss(MaskChecks):
    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    scale = 3.0
    mismatches = (
        ((2, 3, 4, 4), (2, 5, 4, 4), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self, **options):
        return ChannelWiseKDLoss(temperature=3.0, **options)

    def channels(self, input, target, mask=None):
        """Of the samples with a place."""
        weights = torch.ones_like(input[:, 0]) if mask is None else mask
        for n, w in enumerate(weights.flatten(1).tolist()):
            for s, t in zip(*(x[n].flatten(1).tolist() for x in (input, target)), strict=True):
                if any(w):
                    yield 9.0 * kl(softmax(t, 3.0, w), softmax(s, 3.0, w))

    def oracle(self, input, target, mask=None):
        values = list(self.channels(input, target, mask))
        return sum(values) / len(values)

    def test_reductions(self, shape):
        input, target = self.pair(shape)
        each = self.build(reduction="none")(input, target)
        assert each.shape == shape[:2]
        assert each.flatten().tolist() == pytest.approx(list(self.channels(input.detach(), target)), rel=1e-10)
        torch.testing.assert_close(self.build(reduction="sum")(input, target), each.sum())

    def test_a_mask_crops(self):
        """Positions that a mask takes away are not there: the same as maps without them."""
        (input, target), mask = self.pair((2, 3, 4, 5)), torch.zeros(2, 4, 5, dtype=torch.bool)
        mask[:, 1:3, 2:] = True
        expected = self.build()(input[:, :, 1:3, 2:], target[:, :, 1:3, 2:])
        torch.testing.assert_close(self.build()(input, target, mask=mask), expected)

    def test_samples_without_a_position_are_left_out(self, shape):
        (input, target), mask = self.pair(shape), mask_of(shape)
        mask[1:] = False
        expected = self.build()(input[:1], target[:1], mask=mask[:1])
        torch.testing.assert_close(self.build()(input, target, mask=mask), expected)

    def test_reductions_under_a_mask(self, shape):
        (input, target), mask = self.pair(shape), mask_of(shape)
        mask[-1] = False
        each = self.build(reduction="none")(input, target, mask=mask)
        assert each.shape == shape[:2] and not each[-1].any()
        values = list(self.channels(input.detach(), target, mask.double()))
        assert each[:-1].flatten().tolist() == pytest.approx(values, rel=1e-10)
        torch.testing.assert_close(self.build(reduction="sum")(input, target, mask=mask), each.sum())

    def test_near_the_teacher_no_digit_is_lost_under_a_mask(self, shape):
        (input, target), mask = self.pair(shape, torch.float32, apart=1e-3), mask_of(shape)
        value, gradient = self.run(self.build(), input, target, mask=mask)
        exact, direction = self.run(self.build(), input.double(), target.double(), mask=mask)
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - direction).norm() <= 1e-4 * direction.norm()

    def test_a_constant_added_to_a_channel_does_not_matter(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(input + 7, target), self.build()(input, target))

    def test_long_rows_are_exact(self):
        """Over 1e5 places: the gradient within 1e-3 of float64."""
        target = torch.randn(1, 2, 60, 60, 60)
        input = target + 0.1 * torch.randn(target.shape)
        value, gradient = self.run(self.build(), input, target)
        exact, direction = self.run(self.build(), input.double(), target.double())
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - direction).norm() <= 1e-3 * direction.norm()
