# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import cuts

__all__ = ["flat_rows", "sum_closed"]

_CHUNK = 2**18  # entries: a few copies of so many stay in a processor's cache


def sum_closed(
    kernel: Callable[..., Tensor],
    values: Callable[..., Tensor],
    input: Tensor,
    others: Sequence[Tensor] = (),
    weight: Tensor | None = None,
    scale: float = 1.0,
    places: bool = False,
    entries: int | None = None,
) -> Tensor:
    """Sum what `values` gives for samples, or samples and places, by a kernel that knows value and gradient at once.

    .. math:: \\gamma \\sum_i w_i \\, v_i(s_i, \\ldots), \\qquad \\text{gradient } \\gamma w_i \\, v_i'

    On a CPU the kernel runs chunk by chunk and nothing but the gradient is kept for the backward; a second derivative,
    other devices, `torch.compile` and `torch.func` take `values`.

    Args:
        kernel: `kernel(input, *others, factor, out)` of a chunk writes the gradient, times `factor`, to `out` and gives
            the values; `factor` is a number, or [n, 1, ...] where there is a weight.
        values: `values(input, *others)`, the same, differentiable twice; the axis of the classes may be gone.
        input: what gets a gradient, [N, C, ...]; contiguous.
        others: constants that are cut alike.
        weight: w, [N, 1, ...]; None for ones. A constant.
        scale: the factor before the sum.
        places: cut along the last axis, too.
        entries: of the input in one chunk.

    Returns:
        A scalar.
    """
    if input.device.type != "cpu" or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return scale * _weighted(values, weight, input, others).to(input.dtype)
    run = partial(_run, kernel, scale, places, entries or _CHUNK)
    again = partial(_weighted, values)
    return _Closed.apply(run, again, scale, input, weight, *others)


def flat_rows(x: Tensor) -> Tensor:
    """[N, C, *spatial] as [N, C, S], and as [N, C] where there is one place."""
    size = math.prod(x.shape[2:])
    return x.reshape(x.shape[0], x.shape[1], size) if x.ndim > 2 and size != 1 else x.reshape(x.shape[:2])


def _weighted(
    values: Callable[..., Tensor], weight: Tensor | None, input: Tensor, others: Sequence[Tensor]
) -> Tensor:
    made = values(input, *others)
    return (made if weight is None else made.reshape(weight.shape) * weight).sum()


def _run(
    kernel: Callable[..., Tensor],
    scale: float,
    places: bool,
    entries: int,
    input: Tensor,
    weight: Tensor | None,
    others: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """The sum, in float64, and its gradient."""
    gradient = torch.empty(input.shape, dtype=input.dtype)
    if weight is None and input.numel() <= entries:
        return kernel(input, *others, scale, gradient).sum(dtype=torch.float64) * scale, gradient
    total = torch.zeros((), dtype=torch.float64)
    for i, j in cuts(input, places, entries):
        at = (i,) if j is None else (i, ..., j)
        here = None if weight is None else weight[at]
        made = kernel(input[at], *(x[at] for x in others), scale if here is None else here * scale, gradient[at])
        total += (made if here is None else made * here).sum(dtype=torch.float64)
    return total * scale, gradient


class _Closed(torch.autograd.Function):
    """Value and gradient at once."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Callable[..., tuple[Tensor, Tensor]],
        again: Callable[..., Tensor],
        scale: float,
        input: Tensor,
        weight: Tensor | None,
        *others: Tensor,
    ) -> Tensor:
        total, ctx.gradient = run(input, weight, others)
        ctx.save_for_backward(input, weight, *others)
        ctx.run, ctx.again, ctx.scale = run, again, scale
        return total.to(input.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, *others = ctx.saved_tensors
        none = (None,) * (1 + len(others))
        if torch.is_grad_enabled():  # a second derivative is wanted
            value = ctx.scale * ctx.again(weight, input, others).to(input.dtype)
            return None, None, None, *torch.autograd.grad(value, input, grads[0], create_graph=True), *none
        gradient, ctx.gradient = ctx.gradient, None  # handed on, so that it may be scaled in its place
        if gradient is None:  # the graph was retained
            gradient = ctx.run(input, weight, others)[1]
        return None, None, None, gradient.mul_(grads[0]), *none
