# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["bernoulli_kl", "exp_remainder", "sigmoid_difference", "softmax_difference", "softmax_kl"]

_SERIES = 0.05  # below it six terms of the series are exact to 1e-12, above it the subtraction loses two digits at most
_LARGE = 60.0  # exp() of it is still a float32


class _ExpRemainder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        series = u * u / 2 * (1 + u / 3 * (1 + u / 4 * (1 + u / 5 * (1 + u / 6 * (1 + u / 7)))))
        return torch.where(u.abs() < _SERIES, series, torch.expm1(u) - u)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grad[0] * torch.expm1(u)


def exp_remainder(u: Tensor) -> Tensor:
    """e^u - 1 - u, to full relative precision in value and gradient, also near 0.

    Example::

        >>> import torch
        >>> from monai_kd.losses.divergence import exp_remainder
        >>> exp_remainder(torch.tensor(1e-4))  # e^u - 1 - u would be 1.66e-08
        tensor(5.0002e-09)
    """
    return _ExpRemainder.apply(u)


def softmax_kl(input: Tensor, target: Tensor, temperature: float = 1.0, dim: int = 1) -> Tensor:
    """The Kullback-Leibler divergence of two softmax distributions, of full precision near zero as far from it.

    .. math:: \\mathrm{KL}(p_t \\| p_s) = \\log \\sum_c p_{t,c} e^{u_c}
        = \\log\\Bigl(1 + \\sum_c p_{t,c} (e^{u_c} - 1 - u_c)\\Bigr), \\qquad
        u = d - \\sum_c p_{t,c} d_c, \\quad d = (z_s - z_t) / T

    The textbook's :math:`\\sum p_t (\\log p_t - \\log p_s)` is the same number, but its terms cancel as the student
    nears the teacher. Here every term of the sum is positive.

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape.
        temperature: T, which divides both.
        dim: axis of the classes, which the result no longer has.

    Example::

        >>> import torch
        >>> from monai_kd.losses.divergence import softmax_kl
        >>> softmax_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor([0.1109])
    """
    u, log_p = _centre(input, target, temperature, dim)
    return _log_mean_exp(u, log_p, dim).squeeze(dim)


def softmax_difference(input: Tensor, target: Tensor, dim: int = 1) -> Tensor:
    """softmax(input) - softmax(target), to full relative precision also where the two are near.

    .. math:: p_s - p_t = (p_s + p_t) \\tanh\\frac{\\log p_s - \\log p_t}{2}

    Args:
        input: logits of the student.
        target: logits of the teacher, the same shape.
        dim: axis of the classes.
    """
    u, log_p = _centre(input, target, 1.0, dim)
    log_ratio = u - _log_mean_exp(u, log_p, dim)
    return (F.softmax(input, dim) + log_p.exp()) * torch.tanh(log_ratio / 2)


def bernoulli_kl(input: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """The Kullback-Leibler divergence of each pair of Bernoulli distributions: `softmax_kl` with the logits (0, z).

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape, which is the result's, too.
        temperature: T, which divides both.
    """
    change = (input - target) / temperature
    p, q = torch.sigmoid(target / temperature), torch.sigmoid(-target / temperature)
    one, zero = q * change, -p * change
    near = torch.log1p(p * exp_remainder(one.clamp(max=_LARGE)) + q * exp_remainder(zero.clamp(max=_LARGE)))
    log_p, log_q = F.logsigmoid(target / temperature), F.logsigmoid(-target / temperature)
    far = torch.logaddexp(log_p + one, log_q + zero)
    return torch.where(torch.maximum(one, zero) <= _LARGE, near, far)


def sigmoid_difference(input: Tensor, target: Tensor) -> Tensor:
    """sigmoid(input) - sigmoid(target), to full relative precision also where the two are near.

    .. math:: p_s - p_t = (p_s (1 - p_t) + p_t (1 - p_s)) \\tanh\\frac{z_s - z_t}{2}

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape.
    """
    either = torch.sigmoid(input) * torch.sigmoid(-target) + torch.sigmoid(target) * torch.sigmoid(-input)
    return either * torch.tanh((input - target) / 2)


def _centre(input: Tensor, target: Tensor, temperature: float, dim: int) -> tuple[Tensor, Tensor]:
    """u and log p_t of `softmax_kl`."""
    change = (input - target) / temperature
    log_p = F.log_softmax(target / temperature, dim)
    return change - (log_p.exp() * change).sum(dim, keepdim=True), log_p


def _log_mean_exp(u: Tensor, log_p: Tensor, dim: int) -> Tensor:
    """log sum p e^u where sum p u = 0; keeps the axis."""
    remainder = exp_remainder(u.clamp(max=_LARGE))
    near = torch.log1p((log_p.exp() * remainder).sum(dim, keepdim=True))
    far = torch.logsumexp(log_p + u, dim, keepdim=True)
    return torch.where(u.amax(dim, keepdim=True) <= _LARGE, near, far)
