# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_kd.losses.fsp import FSPLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class OfTwoHalves(nn.Module):
    """The first two channels are the early layer, the rest the later one."""

    def __init__(self):
        super().__init__()
        self.loss = FSPLoss()

    def forward(self, input, target):
        return self.loss(input[:, :2], input[:, 2:], target[:, :2], target[:, 2:])


class TestFSPLoss(LossChecks):
    largest = 1e2  # the gradient grows with the third power
    shapes = ((4, 5, 6), (2, 4, 4, 5), (2, 4, 2, 3, 4))
    mismatches = (
        ((2, 4, 4, 4), (1, 4, 4, 4), ShapeMismatchError, "FSPLoss, early layer: .*same N samples"),
        ((2, 4, 4, 4), (2, 5, 4, 4), ShapeMismatchError, "FSPLoss, later layer: .*same number of channels"),
        ((2, 4), (2, 4), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return OfTwoHalves()

    def flows(self, features):
        for sample in features.flatten(2).tolist():
            for a in sample[:2]:
                yield from (sum(x * y for x, y in zip(a, b, strict=True)) / len(a) for b in sample[2:])

    def oracle(self, input, target):
        pairs = list(zip(self.flows(input), self.flows(target), strict=True))
        return sum((s - t) ** 2 for s, t in pairs) / len(pairs)

    @pytest.mark.parametrize("dims", [1, 2, 3])
    def test_the_larger_layer_is_averaged_to_the_smaller(self, dims):
        large, small = torch.randn(2, 2, *[8] * dims).double(), torch.randn(2, 3, *[4] * dims).double()
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
        other = [torch.randn_like(large), torch.randn_like(small)]
        expected = FSPLoss()(pool(large, 2), small, pool(other[0], 2), other[1])
        torch.testing.assert_close(FSPLoss()(large, small, *other), expected)

    def test_the_teachers_maps_may_have_another_size(self):
        value = FSPLoss()(
            torch.randn(2, 2, 8, 8), torch.randn(2, 3, 4, 4), torch.randn(2, 2, 6, 5), torch.randn(2, 3, 3, 5)
        )
        assert value.isfinite()
