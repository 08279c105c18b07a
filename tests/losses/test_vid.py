# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.vid import VIDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.mask_checks import MaskChecks


class TestVIDLoss(MaskChecks):
    test_identical_networks_give_zero = None  # the logarithm of the variance stays
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return VIDLoss()

    def extras(self, shape):
        channels = shape[1] if len(shape) > 1 else 1
        return {"variance": torch.linspace(0.5, 2.0, channels, dtype=torch.float64)}

    def oracle(self, input, target, variance, mask=None):
        total, count = 0.0, 0.0
        mask = torch.ones_like(input[:, 0]) if mask is None else mask
        for s, t, m in zip(input, target, mask, strict=True):
            for c, v in enumerate(variance.tolist()):
                for a, b, w in zip(*(x.flatten().tolist() for x in (s[c], t[c], m)), strict=True):
                    total += w * ((b - a) ** 2 / v + math.log(v)) / 2
                    count += w
        return total / count

    def test_the_variance_learns(self):
        """Defect 21: it sat in a plain list and was never optimised."""
        input, target = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
        variance = torch.ones(3, requires_grad=True)
        self.build()(input, target, variance).backward()
        squares = (input - target).square().mean((0, 2))
        torch.testing.assert_close(variance.grad, (1 - squares) / 6)

    def test_one_variance_a_channel(self):
        with pytest.raises(ShapeMismatchError, match=r"variance is \(2,\).*one variance a channel"):
            self.build()(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.ones(2))
