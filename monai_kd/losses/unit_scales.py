# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact, is_transformed
from monai_kd.losses.functional import absolute_power, unit_difference

__all__ = ["UnitScales", "columns", "unit_apart_total"]

_CHUNK = 2**17  # entries at a time


class UnitScales(NamedTuple):
    """What the rows or columns of a map [C, S] are multiplied with to have length 1: S = a x, T = b t,
    S - T = a (x - k t) - g t. Near the teacher (k = 1) no digit of the difference is lost."""

    a: Tensor
    b: Tensor
    k: Tensor
    g: Tensor

    @classmethod
    def of(cls, x: Tensor, t: Tensor, dim: int, step: int) -> UnitScales:
        """Those of student and teacher, [C, S], in their precision.

        Args:
            x: the student's map.
            t: the teacher's.
            dim: 2: rows have length 1; 1: columns.
            step: columns taken at a time.
        """
        parts = [
            [z.sum(dim - 1, keepdim=True) for z in (p * p, q * q, (p - q) * (p + q), (p - q).square())]
            for p, q in ((exact(x[:, j]), exact(t[:, j])) for j in columns(x, step))
        ]
        xx, tt, longer, dd = (
            torch.stack(z).sum(0) if dim == 2 else torch.cat(z, dim=1) for z in zip(*parts, strict=True)
        )
        a, b = (z.masked_fill(z == 0, torch.inf).rsqrt() for z in (xx, tt))
        near = dd <= tt / 4
        g = torch.where(near & (xx > 0), longer / (xx.sqrt() + tt.sqrt()).clamp(min=1e-300) * a * b, b - near * a)
        return cls(*(z.to(x.dtype) for z in (a, b, near, g)))

    def at(self, j: slice) -> UnitScales:
        """Those of some columns."""
        return self if self.a.shape[1] == 1 else UnitScales(*(z[:, j] for z in self))

    def apart(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """S - T, and T."""
        return torch.addcmul((x - self.k * t).mul_(self.a), self.g, t, value=-1), self.b * t


def columns(x: Tensor, step: int) -> Iterator[slice]:
    """Slices of the second axis."""
    return (slice(j, j + step) for j in range(0, x.shape[1], step))


def unit_apart_total(input: Tensor, target: Tensor, p: float = 2.0) -> Tensor:
    """Sum over rows of :math:`\\| x / |x| - t / |t| \\|_p^p`, exact near the teacher, nothing held but the gradient.

    Args:
        input: rows of the student, [N, D].
        target: rows of the teacher, the same shape; no gradient flows into them.
        p: the power, at least 1.
    """
    if is_transformed():
        return _plain(input, target.detach(), p)
    return _UnitApart.apply(input, target.detach(), p)


def _plain(x: Tensor, t: Tensor, p: float) -> Tensor:
    return absolute_power(unit_difference(x, t), p).sum()


def _slope(d: Tensor, p: float) -> Tensor:
    return d.sign() if p == 1 else 2 * d if p == 2 else p * d.abs().pow(p - 1) * d.sign()


def _blocks(x: Tensor) -> Iterator[tuple[slice, int]]:
    """Some rows, and how many of their columns are taken at a time."""
    width = max(x.shape[1], 1)
    rows = max(1, _CHUNK // width)
    return ((slice(i, i + rows), min(width, _CHUNK)) for i in range(0, len(x), rows))


class _UnitApart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(input, target)
        ctx.p, ctx.blocks = p, []
        total = exact(input.new_zeros(()))
        for i, step in _blocks(input):
            x, t = input[i], target[i]
            scales = UnitScales.of(x, t, 2, step)
            along = exact(x.new_zeros(len(x), 1))  # the slope's part along each row
            for j in columns(x, step):
                d, u = scales.apart(x[:, j], t[:, j])
                total += exact(absolute_power(d, p).sum())
                along += exact(((d + u) * _slope(d, p)).sum(1, keepdim=True))
            ctx.blocks.append((scales, along.to(x.dtype)))
        return total.to(input.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        input, target = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            made = torch.autograd.grad(_plain(input, target, ctx.p), input, grads[0], create_graph=True)
            return made[0], None, None
        gradient = torch.empty_like(input, memory_format=torch.contiguous_format)
        for (i, step), (scales, along) in zip(_blocks(input), ctx.blocks, strict=True):
            x, t, out = input[i], target[i], gradient[i]
            for j in columns(x, step):
                d, u = scales.apart(x[:, j], t[:, j])
                slope = _slope(d, ctx.p).addcmul_(d.add_(u), along, value=-1)
                torch.mul(slope, scales.a * grads[0], out=out[:, j])
        return gradient, None, None
