# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss with a `mask` of rows whose value is not a weighted mean of what single rows give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def mask_of(shape: tuple[int, ...], dtype: torch.dtype = torch.bool) -> Tensor:
    """Some rows of [N, C, *spatial], of every sample but the last at least one; weights, if of a floating dtype."""
    mask = torch.rand((shape[0], *shape[2:]), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mask = mask.masked_fill(mask < 0.4, 0).to(dtype)
    mask[0].view(-1)[-2:] = 1
    return mask


class MaskChecks(LossChecks):
    """Further checks of a loss `forward(input, target, *, mask, **extras)` whose oracle takes the mask's weights."""

    def oracle(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None, **extras: Any) -> float:
        raise NotImplementedError

    @pytest.mark.parametrize("dtype", [torch.bool, torch.float64], ids=str)
    def test_mask_matches_plain_loop(self, shape, dtype):
        (input, target), extras, mask = self.pair(shape), self.extras(shape), mask_of(shape, dtype)
        expected = self.oracle(input.detach(), target, mask=mask.double(), **extras)
        for m in (mask, mask.unsqueeze(1)):
            assert self.build()(input, target, mask=m, **extras).item() == pytest.approx(expected, rel=1e-10)

    def test_gradient_under_a_mask_is_the_derivative(self, shape):
        (input, target), extras, mask = self.pair(shape), self.extras(shape), mask_of(shape, torch.float64)
        loss = self.build()
        _, gradient = self.run(loss, input, target, mask=mask, **extras)
        size = gradient.abs().max()
        assert size > 0
        assert torch.autograd.gradcheck(
            lambda x: loss(x, target, mask=mask, **extras) / size, input, rtol=1e-5, atol=1e-6
        )

    def test_full_mask_is_none(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        value = self.build()(input, target, mask=torch.ones((shape[0], *shape[2:]), dtype=torch.bool), **extras)
        torch.testing.assert_close(value, self.build()(input, target, **extras), rtol=1e-9, atol=1e-12)

    def test_empty_mask_is_a_connected_zero(self, shape):
        mask = torch.zeros((shape[0], *shape[2:]), dtype=torch.bool)
        value, gradient = self.run(self.build(), *self.pair(shape), mask=mask, **self.extras(shape))
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_nothing_outside_of_the_mask_counts(self, shape):
        (input, target), extras, mask = self.pair(shape), self.extras(shape), mask_of(shape)
        outside = ~mask.unsqueeze(1).expand(shape)
        expected, _ = self.run(self.build(), input, target, mask=mask, **extras)
        with torch.no_grad():
            input[outside], target[outside] = torch.nan, torch.inf
        value, gradient = self.run(self.build(), input, target, mask=mask, **extras)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside])) and gradient.isfinite().all()

    def test_no_gradient_flows_into_the_mask(self, shape):
        (input, target), extras, mask = self.pair(shape), self.extras(shape), mask_of(shape, torch.float64)
        self.build()(input, target, mask=mask.requires_grad_(), **extras).backward()
        assert input.grad.abs().max() > 0 and mask.grad is None

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_largest_half_numbers_under_a_mask_are_finite(self, shape, dtype):
        input, target = (self.largest * torch.randn(shape).sign().to(dtype) for _ in range(2))
        self.assert_finite(input, target, mask=mask_of(shape), **self.extras(shape))

    def test_mask_compiles_whole(self):
        """A graph in one piece has no value read back and no shape that depends on data."""
        shape = self.shapes[-1]
        (input, target), extras, mask = self.pair(shape), self.extras(shape), mask_of(shape)
        torch._dynamo.reset()
        compiled = torch.compile(self.build(), fullgraph=True, backend="eager")
        expected = self.build()(input, target, mask=mask, **extras)
        torch.testing.assert_close(compiled(input, target, mask=mask, **extras), expected)

    def test_wrong_mask_is_refused(self):
        shape = (2, 3, 4, 4)
        input, extras = torch.zeros(shape), self.extras(shape)
        with pytest.raises(ShapeMismatchError, match=r"mask is \(2, 4\).*\(2, 4, 4\) or \(2, 1, 4, 4\)"):
            self.build()(input, input, mask=torch.ones(2, 4), **extras)
        with pytest.raises(ConfigError, match=r"mask must be boolean or floating, got torch.int64"):
            self.build()(input, input, mask=torch.ones(2, 4, 4, dtype=torch.int64), **extras)
