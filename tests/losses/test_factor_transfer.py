# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.factor_transfer import FactorTransferLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestFactorTransferLoss(LossChecks):
    p = 1.0
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return FactorTransferLoss(p=self.p)

    def oracle(self, input, target):
        total = 0.0
        for a, b in zip(input.flatten(1).tolist(), target.flatten(1).tolist(), strict=True):
            size_a, size_b = (sum(x * x for x in row) ** 0.5 for row in (a, b))
            total += sum(abs(x / size_a - y / size_b) ** self.p for x, y in zip(a, b, strict=True))
        return total / input.numel()

    def test_length_does_not_matter(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(3 * input, target), self.build()(input, target))


class TestSquared(TestFactorTransferLoss):
    p = 2.0

    def test_impossible_powers_are_refused(self):
        with pytest.raises(ConfigError, match="p must be at least 1"):
            FactorTransferLoss(p=0.5)
