# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.channel_wise_kd import ChannelWiseKDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a)


class TestChannelWiseKDLoss(LossChecks):
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

    def channels(self, input, target):
        for s, t in zip(*(x.flatten(2).flatten(0, 1).tolist() for x in (input, target)), strict=True):
            yield 9.0 * kl(softmax(t, 3.0), softmax(s, 3.0))

    def oracle(self, input, target):
        values = list(self.channels(input, target))
        return sum(values) / len(values)

    def test_reductions(self, shape):
        input, target = self.pair(shape)
        each = self.build(reduction="none")(input, target)
        assert each.shape == shape[:2]
        assert each.flatten().tolist() == pytest.approx(list(self.channels(input.detach(), target)), rel=1e-10)
        torch.testing.assert_close(self.build(reduction="sum")(input, target), each.sum())

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
