# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact
from monai_kd.losses.grams import cross_grams

__all__ = ["flow_total"]

_CHUNK = 2**18  # entries of matrices, or of features, at a time


def flow_total(early: Tensor, later: Tensor, target: Tensor, target_later: Tensor) -> Tensor:
    """How far the products of two layers are from the teacher's: a sum over samples, in float64.

    .. math:: \\sum_n \\Bigl\\| \\frac{1}{S} A C^T - \\frac{1}{S'} B D^T \\Bigr\\|_F^2, \\qquad
        A C^T - B D^T = \\frac{1}{2} \\bigl( (A - B)(C + D)^T + (A + B)(C - D)^T \\bigr)

    Where S = S' the difference is exact to the last digits of the features' precision, in which products are made,
    however near the student is. What is held for the backward is the differences, [N, C_1, C_2].

    Args:
        early: A, [N, C_1, S].
        later: C, [N, C_2, S].
        target: B, [N, C_1, S'].
        target_later: D, [N, C_2, S']; no gradient flows into either.

    Example::

        >>> import torch
        >>> from monai_kd.losses.flows import flow_total
        >>> one = torch.ones(1, 1, 4)
        >>> flow_total(3 * one, one, one, one)
        tensor(4., dtype=torch.float64)
    """
    target, target_later = target.detach(), target_later.detach()
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _plain(early, later, target, target_later)
    return _FlowTotal.apply(early, later, target, target_later)


def _plain(a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
    flow, wanted = cross_grams(a, c, b, d)
    return (flow / max(a.shape[2], 1) - wanted / max(b.shape[2], 1)).square().sum()


def _apart(a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
    """The difference of the products of some samples."""
    if a.shape[2] != b.shape[2]:
        flow, wanted = cross_grams(a, c, b, d)
        return flow / max(a.shape[2], 1) - wanted / max(b.shape[2], 1)
    width = max(1, _CHUNK // max(a.shape[:2].numel(), 1))
    pieces = list(zip(*(x.split(width, 2) for x in (a, c, b, d)), strict=True))
    parts = (torch.baddbmm((p - q) @ (r + s).mT, p + q, (r - s).mT) for p, r, q, s in pieces)
    total = next(parts) if len(pieces) == 1 else reduce(torch.add, map(exact, parts))
    return total / (2 * max(a.shape[2], 1))


def _samples(x: Tensor, count: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(count, 1))
    return (slice(i, i + step) for i in range(0, len(x), step))


class _FlowTotal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
        apart = a.new_empty(len(a), a.shape[1], c.shape[1])
        total = exact(a.new_zeros(()))
        for i in _samples(a, apart[:1].numel()):
            part = _apart(a[i], c[i], b[i], d[i])
            total += exact(part).square().sum()
            apart[i] = part
        ctx.save_for_backward(a, c, b, d, apart)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, c, b, d, apart = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # a second derivative is wanted
            asked = [x for x, w in zip((a, c), wanted, strict=True) if w]
            made = iter(torch.autograd.grad(_plain(a, c, b, d), asked, grads[0], create_graph=True))
            return (*(next(made) if w else None for w in wanted), None, None)
        g = apart * (2 * grads[0] / max(a.shape[2], 1)).to(apart.dtype)
        return g @ c if wanted[0] else None, g.mT @ a if wanted[1] else None, None, None
