# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.nst import NSTLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def unit(row: list[float]) -> list[float]:
    size = sum(x * x for x in row) ** 0.5
    return [x / size for x in row] if size else row


def mean_kernel(a: list[list[float]], b: list[list[float]]) -> float:
    return sum(sum(x * y for x, y in zip(p, q, strict=True)) ** 2 for p in a for q in b) / (len(a) * len(b))


class TestNSTLoss(LossChecks):
    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 3, 4, 2), ShapeMismatchError, "`Connector`"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return NSTLoss()

    def oracle(self, input, target):
        total = 0.0
        for s, t in zip(input.flatten(2).tolist(), target.flatten(2).tolist(), strict=True):
            s, t = [unit(row) for row in s], [unit(row) for row in t]
            total += mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t)
        return total / len(input)

    @pytest.mark.parametrize(("channels", "teacher"), [(2, 9), (9, 2), (9, 8)])
    def test_channels_may_differ_and_be_many(self, channels, teacher):
        input, target = torch.randn(2, channels, 3, 2).double(), torch.randn(2, teacher, 3, 2).double()
        assert self.build()(input, target).item() == pytest.approx(self.oracle(input, target), rel=1e-10)

    def test_order_and_scale_of_the_channels_do_not_matter(self, shape):
        input, target = self.pair(shape)
        order = torch.randperm(shape[1])
        torch.testing.assert_close(self.build()(3 * input[:, order], target), self.build()(input, target))
