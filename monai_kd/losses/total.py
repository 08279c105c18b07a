# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses.closed_form import flat_rows, sum_closed
from monai_kd.losses.divergence import bernoulli_kl, softmax_kl
from monai_kd.losses.odds import change_of_odds

__all__ = ["total_bernoulli_kl", "total_softmax_kl"]

_CHUNK = 2**18  # entries: a few copies of so many stay in a processor's cache
_SMALL = 2**14  # entries: of fewer, float64 costs nothing


def total_softmax_kl(
    input: Tensor, target: Tensor, temperature: float = 1.0, weight: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    """Sum over rows of `softmax_kl`, the gradient made along with the value.

    .. math:: \\gamma \\sum_i w_i \\, \\mathrm{KL}(\\mathrm{softmax}(z_{t,i} / T) \\,\\|\\, \\mathrm{softmax}(z_{s,i} / T)),
        \\qquad \\text{gradient } \\gamma w_i (p_{s,i} - p_{t,i}) / T

    On a CPU value and gradient are computed chunk by chunk, and nothing but the gradient is kept for the backward; a
    second derivative, other devices, `torch.compile` and `torch.func` take the plain way.

    Args:
        input: logits z_s of the student, [N, C, *spatial].
        target: logits z_t of the teacher, the same shape; a constant.
        temperature: T.
        weight: w, [N, *spatial] or [N, 1, *spatial]; None for ones. A constant.
        scale: the factor before the sum.

    Returns:
        A scalar.
    """
    return _total(input, target, temperature, weight, scale, _softmax_rows, softmax_kl)


def total_bernoulli_kl(
    input: Tensor, target: Tensor, temperature: float = 1.0, weight: Tensor | None = None, scale: float = 1.0
) -> Tensor:
    """Sum over rows and classes of `bernoulli_kl`, as `total_softmax_kl` does it.

    Args:
        input: logits of the student, [N, C, *spatial].
        target: logits of the teacher, the same shape; a constant.
        temperature: T.
        weight: [N, *spatial] or [N, 1, *spatial]; None for ones. A constant.
        scale: the factor before the sum.
    """
    return _total(input, target, temperature, weight, scale, _bernoulli_entries, _bernoulli_rows)


def _total(
    input: Tensor,
    target: Tensor,
    temperature: float,
    weight: Tensor | None,
    scale: float,
    kernel: Callable[..., Tensor],
    rows: Callable[..., Tensor],
) -> Tensor:
    s, t = flat_rows(input), flat_rows(target.detach())
    if weight is not None:
        weight = weight.detach().to(input.dtype).reshape(s.shape[0], 1, *s.shape[2:])
    return sum_closed(
        partial(kernel, temperature),
        partial(rows, temperature=temperature),
        s,
        [t],
        weight,
        scale,
        places=s.ndim > 2,
        entries=_CHUNK,
    )


def _bernoulli_rows(input: Tensor, target: Tensor, temperature: float) -> Tensor:
    return bernoulli_kl(input, target, temperature).sum(1)


def _softmax_rows(temperature: float, s: Tensor, t: Tensor, factor: Tensor | float, out: Tensor) -> Tensor:
    """Divergence by row of logits [m, C, ...], the axis kept; (p_s - p_t) / T, times `factor`, goes to `out`.

    With E and A of `change_of_odds`: p_s - p_t = p_t (E - A) / (1 + A).
    """
    if s.numel() > _SMALL and s.dtype == torch.float32:
        p = torch.softmax(t / temperature, 1)
        made = change_of_odds(p, s - t, temperature)
        if made is not None:
            grown, total, values, _ = made
            torch.mul(grown.sub_(total).mul_(p), factor / temperature / (1 + total), out=out)
            return values
    s, t = s.double() / temperature, t.double() / temperature  # in which the textbook is exact enough
    log_s, log_t = torch.log_softmax(s, 1), torch.log_softmax(t, 1)
    p = torch.exp(log_t, out=t)
    values = log_t.sub_(log_s).mul_(p).sum(1, keepdim=True)
    out.copy_(log_s.exp_().sub_(p).mul_(factor / temperature))
    return values


def _bernoulli_entries(temperature: float, s: Tensor, t: Tensor, factor: Tensor | float, out: Tensor) -> Tensor:
    """The same of each logit by itself; (log p_t - log p_s) + (1 - p_t) (z_s - z_t) is the divergence."""
    s, t = s.double() / temperature, t.double() / temperature
    values = (F.logsigmoid(t) - F.logsigmoid(s)).addcmul_(torch.sigmoid(-t), s - t).sum(1, keepdim=True)
    out.copy_(s.sigmoid_().sub_(t.sigmoid_()).mul_(factor / temperature))
    return values
