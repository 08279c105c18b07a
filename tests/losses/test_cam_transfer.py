# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from monai_kd.losses.cam_transfer import CAMTransferLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestCAMTransferLoss(LossChecks):
    shapes = ((4, 2, 6), (2, 3, 4, 5), (2, 1, 2, 3, 4))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 2, 4, 4), ShapeMismatchError, "maps of 3 classes, teacher of 2"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return CAMTransferLoss()

    def oracle(self, input, target):
        total = 0.0
        for a, b in zip(input.flatten(2).flatten(0, 1).tolist(), target.flatten(2).flatten(0, 1).tolist(), strict=True):
            size_a, size_b = (sum(x * x for x in row) ** 0.5 for row in (a, b))
            total += sum((x / size_a - y / size_b) ** 2 for x, y in zip(a, b, strict=True))
        return total / input.numel()

    def test_the_brightness_of_a_map_does_not_matter(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(3 * input, target), self.build()(input, target))

    def test_the_larger_map_is_averaged_to_the_smaller(self):
        small, large = torch.rand(2, 1, 4, 2).double(), torch.rand(2, 1, 8, 6).double()
        pooled = torch.nn.functional.adaptive_avg_pool2d(large, (4, 2))
        torch.testing.assert_close(self.build()(small, large), self.build()(small, pooled))

    def test_a_map_of_zeros_is_as_far_as_can_be_and_finite(self):
        input, target = torch.zeros(1, 1, 2, 2).requires_grad_(), torch.rand(1, 1, 2, 2)
        value = self.build()(input, target)
        value.backward()
        torch.testing.assert_close(value, torch.tensor(0.25))
        assert input.grad.isfinite().all()
