# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss that relates the samples of a batch to each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def cosine(a: list[float], b: list[float]) -> float:
    size = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return sum(x * y for x, y in zip(a, b, strict=True)) / size if size else 0.0


class RelationChecks(LossChecks):
    """Checks of a loss of features [N, ...] whose widths may differ."""

    shapes = ((4, 5), (3, 3, 4, 5), (3, 3, 2, 3, 4))
    mismatches = (
        ((2, 3), (1, 3), ShapeMismatchError, r"student is \(2, 3\), teacher \(1, 3\)"),
        ((2, 3, 4, 4), (4, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2,), (2,), ShapeMismatchError, "features"),
    )

    def oracle(self, input: Tensor, target: Tensor, **extras: Any) -> float:
        raise NotImplementedError

    def test_widths_may_differ(self):
        input, target = torch.randn(4, 5).double(), torch.randn(4, 7, 3, 3).double()
        value = self.build()(input, target).item()
        assert abs(value - self.oracle(input, target)) <= 1e-10 * abs(value)

    def test_scale_of_the_features_does_not_matter(self, shape):
        input, target = self.pair(shape, torch.float32)
        for factor in (1e-3, 1e3):
            torch.testing.assert_close(self.build()(factor * input, target), self.build()(input, target))

    def test_order_of_the_samples_does_not_matter(self, shape):
        input, target = self.pair(shape)
        order = torch.randperm(shape[0])
        torch.testing.assert_close(self.build()(input[order], target[order]), self.build()(input, target))

    def test_duplicated_samples_have_a_moderate_gradient(self, shape):
        """Defect 19: the same sample twice in a batch gave a gradient of 5e9."""
        input, target = self.pair(shape, torch.float32)
        for x, y in (
            (input[[0, 0, 1]], target[[0, 0, 1]]),
            (input[[0, 0, 1]], target[:3]),
            (input[:3], target[[0, 0, 1]]),
        ):
            value, gradient = self.run(self.build(), x, y)
            assert value.isfinite() and gradient.isfinite().all() and gradient.abs().max() < 1e3

    def test_term_knows_that_rows_belong_together(self):
        assert self.build().relational is True
