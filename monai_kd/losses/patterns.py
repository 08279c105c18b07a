# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact, is_transformed
from monai_kd.losses.relations import inner_squares, unit
from monai_kd.losses.unit_scales import UnitScales, columns

__all__ = ["pattern_total"]

_CHUNK = 2**17  # entries of a map at a time


def pattern_total(input: Tensor, target: Tensor, dim: int) -> Tensor:
    """How far two maps are in what every two places have to do with each other, without a matrix of places.

    .. math:: \\sum_n \\| S^T S - T^T T \\|_F^2
        = \\frac{1}{2} \\sum_n \\bigl( \\langle D D^T, M M^T \\rangle + \\mathrm{tr}((D M^T)^2) \\bigr), \\qquad
        D = S - T, \\quad M = S + T

    with S and T the maps [C, S], each row or each column divided by its length. All products are C by C; value and
    gradient are exact near the teacher. Products in the precision of the features, sums in float64. Time O(N C^2 S); of
    memory the gradient alone.

    Args:
        input: maps of the student, [N, C, S].
        target: maps of the teacher, the same shape; no gradient flows into them.
        dim: 2: rows, the channels, have length 1; 1: columns, the places.
    """
    target = target.detach().to(input.dtype)
    if is_transformed():
        return _plain(input, target, dim)
    return _PatternTotal.apply(input, target, dim)


def _plain(x: Tensor, t: Tensor, dim: int) -> Tensor:
    s, t = unit(exact(x), dim), unit(exact(t), dim)
    return (inner_squares(s, s) + inner_squares(t, t) - 2 * inner_squares(s, t)).sum().to(x.dtype)


class _PatternTotal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, dim: int) -> Tensor:
        step = max(1, _CHUNK // max(input.shape[1], 1))
        total, ctx.samples, ctx.dim, ctx.step = exact(input.new_zeros(())), [], dim, step
        for x, t in zip(input, target, strict=True):
            scales = UnitScales.of(x, t, dim, step)
            dd, dt, tt = exact(x.new_zeros(3, len(x), len(x)))
            for j in columns(x, step):
                d, u = scales.at(j).apart(x[:, j], t[:, j])
                dd += exact(d @ d.T)
                dt += exact(d @ u.T)
                tt += exact(u @ u.T)
            dm, mm = dd + 2 * dt, dd + 2 * (dt + dt.T) + 4 * tt
            total += ((dd * mm).sum() + (dm * dm.T).sum()) / 2
            sd, sm = dt.T + dd, dt.T + dd + 2 * (tt + dt)  # S D^T and S M^T
            of_t, of_d = 4 * sd, 2 * (sd + sm)  # the gradient of S is of_t T + of_d D
            along = (of_t * (tt + dt)).sum(1) + (of_d * sd).sum(1)  # its part along each row of S
            ctx.samples.append((scales, *(z.to(x.dtype) for z in (of_t, of_d, along.unsqueeze(1)))))
        ctx.save_for_backward(input, target)
        return total.to(input.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        input, target = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            plain = _plain(input, target, ctx.dim)
            return torch.autograd.grad(plain, input, grads[0], create_graph=True)[0], None, None
        gradient = torch.empty_like(input, memory_format=torch.contiguous_format)
        for x, t, out, (scales, of_t, of_d, along) in zip(input, target, gradient, ctx.samples, strict=True):
            for j in columns(x, ctx.step):
                here = scales.at(j)
                d, u = here.apart(x[:, j], t[:, j])
                g = torch.addmm(of_t @ u, of_d, d)
                s = d.add_(u)
                g -= s * (along if ctx.dim == 2 else (s * g).sum(0))
                torch.mul(g, here.a * grads[0], out=out[:, j])
        return gradient, None, None
