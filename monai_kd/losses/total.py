# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses.chunked import is_transformed
from monai_kd.losses.divergence import bernoulli_kl, sigmoid_difference, softmax_difference, softmax_kl

__all__ = ["total_bernoulli_kl", "total_softmax_kl"]

_CHUNK = 2**18  # entries: a few copies of so many stay in a processor's cache
_SMALL = 2**14  # entries: of fewer, float64 costs nothing


def total_softmax_kl(input: Tensor, target: Tensor, temperature: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Sum over rows of `softmax_kl`, the gradient made along with the value.

    .. math:: \\sum_i w_i \\, \\mathrm{KL}(\\mathrm{softmax}(z_{t,i} / T) \\,\\|\\, \\mathrm{softmax}(z_{s,i} / T)),
        \\qquad \\text{gradient } w_i (p_{s,i} - p_{t,i}) / T

    On a CPU value and gradient are computed chunk by chunk, and nothing but the gradient is kept for the backward; a
    second derivative, other devices, `torch.compile` and `torch.func` take the plain way.

    Args:
        input: logits z_s of the student, [N, C, *spatial].
        target: logits z_t of the teacher, the same shape; a constant.
        temperature: T.
        weight: w, [N, *spatial] or [N, 1, *spatial]; None for ones. A constant.

    Returns:
        A scalar.
    """
    return _total(input, target, temperature, weight, _softmax_rows, softmax_kl, softmax_difference)


def total_bernoulli_kl(input: Tensor, target: Tensor, temperature: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Sum over rows and classes of `bernoulli_kl`, as `total_softmax_kl` does it.

    Args:
        input: logits of the student, [N, C, *spatial].
        target: logits of the teacher, the same shape; a constant.
        temperature: T.
        weight: [N, *spatial] or [N, 1, *spatial]; None for ones. A constant.
    """
    return _total(input, target, temperature, weight, _bernoulli_entries, _bernoulli_rows, sigmoid_difference)


def _total(
    input: Tensor,
    target: Tensor,
    temperature: float,
    weight: Tensor | None,
    kernel: Callable[..., Tensor],
    rows: Callable[..., Tensor],
    difference: Callable[..., Tensor],
) -> Tensor:
    target = target.detach()
    if weight is not None:
        weight = weight.detach().to(input.dtype).reshape(input.shape[0], 1, *input.shape[2:])
    if input.device.type != "cpu" or is_transformed():
        values = rows(input, target, temperature)
        return (values if weight is None else values * weight.squeeze(1)).sum()
    return _Total.apply(input, target, weight, temperature, kernel, difference)


def _bernoulli_rows(input: Tensor, target: Tensor, temperature: float) -> Tensor:
    return bernoulli_kl(input, target, temperature).sum(1)


def _softmax_rows(s: Tensor, t: Tensor, temperature: float, factor: Tensor | float, out: Tensor) -> Tensor:
    """Divergence by row, [m, 1, k], of logits [m, C, k]; p_s - p_t, times `factor` [m, 1, k], goes to `out`.

    With u of `softmax_kl`, E = e^u - 1 and A = sum p_t E: KL = log(1 + A), p_s - p_t = p_t (E - A) / (1 + A). Where all
    of the chunk is near, A is summed as p_t (E - u), whose digits do not cancel.
    """
    if s.numel() > _SMALL and s.dtype == torch.float32:
        dim = 1
        if s.shape[2] == 1:
            s, t, dim = s.squeeze(2), t.squeeze(2), -1  # rows that lie together
        p = t / temperature
        p.sub_(p.amax(dim, keepdim=True)).exp_()  # p_t, but for its sum
        whole = p.sum(dim, keepdim=True)
        u = (s - t).mul_(1 / temperature)
        u.sub_((p * u).sum(dim, keepdim=True).div_(whole))
        low, high = (float(x) for x in torch.aminmax(u))
        if high <= 60:  # e^60 is still a float32
            change = torch.expm1(u)
            if max(-low, high) <= 0.05:
                remainder = (u / 20).add_(0.25).mul_(u).add_(1).mul_(u).div_(3).add_(1).mul_(u).mul_(u).div_(2)
                a = remainder.mul_(p).sum(dim, keepdim=True).div_(whole)
            else:
                a = torch.mul(p, change, out=u).sum(dim, keepdim=True).div_(whole)
            change.sub_(a).mul_(p)
            if dim < 0:
                a, change, whole = (x.unsqueeze(2) for x in (a, change, whole))
            torch.mul(change, factor / (whole * (1 + a)), out=out)
            return torch.log1p(a)
        if dim < 0:
            s, t = s.unsqueeze(2), t.unsqueeze(2)
    s, t = s.double() / temperature, t.double() / temperature  # in which the textbook is exact enough
    log_s, log_t = torch.log_softmax(s, 1), torch.log_softmax(t, 1)
    p = torch.exp(log_t, out=t)
    values = log_t.sub_(log_s).mul_(p).sum(1, keepdim=True)
    out.copy_(log_s.exp_().sub_(p).mul_(factor))
    return values


def _bernoulli_entries(s: Tensor, t: Tensor, temperature: float, factor: Tensor | float, out: Tensor) -> Tensor:
    """The same of each logit by itself; (log p_t - log p_s) + (1 - p_t) (z_s - z_t) is the divergence."""
    s, t = s.double() / temperature, t.double() / temperature
    values = (F.logsigmoid(t) - F.logsigmoid(s)).addcmul_(torch.sigmoid(-t), s - t).sum(1, keepdim=True)
    out.copy_(s.sigmoid_().sub_(t.sigmoid_()).mul_(factor))
    return values


def _chunks(shape: torch.Size) -> Iterator[tuple[slice, slice]]:
    """Slices of the first and the last axis of [N, C, S], of about `_CHUNK` entries, rows along C kept whole."""
    n, c, s = shape
    samples = max(1, _CHUNK // max(c * s, 1))
    places = max(1, s if samples > 1 else min(s, _CHUNK // max(c, 1)))
    for i in range(0, n, samples):
        for j in range(0, s, places):
            yield slice(i, i + samples), slice(j, j + places)


def _run(
    input: Tensor, target: Tensor, weight: Tensor | None, temperature: float, kernel: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """The weighted sum, in float64, and its gradient."""
    n, c = input.shape[:2]
    s, t = (x.reshape(n, c, math.prod(x.shape[2:])) for x in (input, target))
    w = None if weight is None else weight.reshape(n, 1, s.shape[2])
    gradient = torch.empty(s.shape, dtype=s.dtype)
    if w is None and s.numel() <= _CHUNK:
        total = kernel(s, t, temperature, 1 / temperature, gradient).sum(dtype=torch.float64)
        return total, gradient.view(input.shape)
    total = torch.zeros((), dtype=torch.float64)
    for i, j in _chunks(s.shape):
        here = None if w is None else w[i, :, j]
        factor = 1 / temperature if here is None else here / temperature
        values = kernel(s[i, :, j], t[i, :, j], temperature, factor, gradient[i, :, j])
        total += (values if here is None else values * here).sum(dtype=torch.float64)
    return total, gradient.view(input.shape)


class _Total(torch.autograd.Function):
    """Value and gradient at once, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        target: Tensor,
        weight: Tensor | None,
        temperature: float,
        kernel: Callable[..., Tensor],
        difference: Callable[..., Tensor],
    ) -> Tensor:
        total, ctx.gradient = _run(input, target, weight, temperature, kernel)
        ctx.save_for_backward(input, target, weight)
        ctx.temperature, ctx.kernel, ctx.difference = temperature, kernel, difference
        return total.to(input.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        input, target, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            gradient = ctx.difference(input, target, ctx.temperature) * (grads[0] / ctx.temperature)
            return gradient if weight is None else gradient * weight, None, None, None, None, None
        gradient, ctx.gradient = ctx.gradient, None  # handed on, so that it may be scaled in its place
        if gradient is None:  # the graph was retained
            gradient = _run(input, target, weight, ctx.temperature, ctx.kernel)[1]
        return gradient.mul_(grads[0]), None, None, None, None, None
