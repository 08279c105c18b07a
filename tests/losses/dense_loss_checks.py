# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss that compares logits row by row; a test file gives constructor and formula of one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class DenseLossChecks(LossChecks):
    """Checks of a loss that compares logits row by row, [N, C, *spatial], with a `mask` and a `reduction`."""

    scale = 3.0
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 1, 4, 4), ClassMismatchError, "student has 3 classes, teacher 1"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"student is \(2, 3, 4, 4\), teacher \(1, 3, 4, 4\)"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (2, 3, 4), ShapeMismatchError, r"teacher \(2, 3, 4\)"),
        ((3,), (3,), ShapeMismatchError, r"\[N, C, \*spatial\], got \(3,\)"),
    )

    def build(self, **options: Any) -> nn.Module:
        raise NotImplementedError

    def row(self, student: list[float], teacher: list[float]) -> float:
        """The value of one row by the formula: logits of one sample, pixel or voxel."""
        raise NotImplementedError

    def rows(self, input: Tensor, target: Tensor) -> Iterator[float]:
        for logits in zip(*(x.movedim(1, -1).flatten(0, -2).tolist() for x in (input, target)), strict=True):
            yield self.row(*logits)

    def oracle(self, input: Tensor, target: Tensor, **extras: Any) -> float:
        values = list(self.rows(input, target))
        return sum(values) / len(values)

    def test_reductions_agree(self, shape):
        input, target = self.pair(shape)
        rows = self.build(reduction="none")(input, target)
        assert rows.shape == (shape[0], *shape[2:])
        assert rows.flatten().tolist() == pytest.approx(list(self.rows(input.detach(), target)), rel=1e-10)
        torch.testing.assert_close(self.build(reduction="sum")(input, target), rows.sum())
        torch.testing.assert_close(self.build(reduction="mean")(input, target), rows.mean())

    def test_unknown_reduction_is_refused(self):
        with pytest.raises(ConfigError, match="reduction must be 'mean', 'sum' or 'none', got 'avg'"):
            self.build(reduction="avg")

    def test_dense_logits_are_rows(self, shape):
        """The class axis is the second one, and voxels are averaged, never summed."""
        input, target = self.pair(shape)
        flat = [x.movedim(1, -1).flatten(0, -2) for x in (input, target)]
        torch.testing.assert_close(self.build()(input, target), self.build()(*flat), rtol=1e-12, atol=0)

    @pytest.mark.parametrize("dtype", [torch.bool, torch.float64], ids=str)
    def test_mask_takes_the_weighted_mean(self, shape, dtype):
        (input, target), rows = self.pair(shape), (shape[0], *shape[2:])
        mask = torch.rand(rows, dtype=torch.float64)
        mask = mask.masked_fill(mask < 0.4, 0).to(dtype)
        weights = mask.flatten().double().tolist()
        products = [w * x for w, x in zip(weights, self.rows(input.detach(), target), strict=True)]
        for m in (mask, mask.unsqueeze(1)):
            assert self.build()(input, target, mask=m).item() == pytest.approx(sum(products) / sum(weights), rel=1e-10)
        assert self.build(reduction="none")(input, target, mask=mask).flatten().tolist() == pytest.approx(products)

    def test_empty_mask_is_a_connected_zero(self, shape):
        mask = torch.zeros((shape[0], *shape[2:]), dtype=torch.bool)
        value, gradient = self.run(self.build(), *self.pair(shape), mask=mask)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_nothing_outside_of_the_mask_counts(self, shape):
        (input, target), mask = self.pair(shape), torch.ones((shape[0], *shape[2:]), dtype=torch.bool)
        mask[0] = False
        expected, _ = self.run(self.build(), input[1:], target[1:])
        with torch.no_grad():
            input[0], target[0] = torch.nan, torch.inf
        value, gradient = self.run(self.build(), input, target, mask=mask)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0])) and gradient[1:].isfinite().all()

    def test_mask_compiles_whole(self):
        """A graph in one piece has no value read back and no shape that depends on data."""
        shape = self.shapes[-1]
        (input, target), mask = self.pair(shape), torch.rand((shape[0], 1, *shape[2:])) < 0.7
        torch._dynamo.reset()
        compiled = torch.compile(self.build(), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(input, target, mask=mask), self.build()(input, target, mask=mask))

    def test_wrong_mask_is_refused(self):
        input = torch.zeros(2, 3, 4, 4)
        with pytest.raises(ShapeMismatchError, match=r"mask is \(2, 4\).*\(2, 4, 4\) or \(2, 1, 4, 4\)"):
            self.build()(input, input, mask=torch.ones(2, 4))
        with pytest.raises(ConfigError, match=r"mask must be boolean or floating, got torch.int64"):
            self.build()(input, input, mask=torch.ones(2, 4, 4, dtype=torch.int64))
