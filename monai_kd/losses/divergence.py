# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "bernoulli_kl",
    "exp_remainder",
    "negative_log_softmax",
    "sigmoid_difference",
    "softmax_difference",
    "softmax_kl",
]

_SERIES = 0.05  # up to it seven powers are exact to 1e-12; beyond it e^u - 1 - u loses two digits at most
_ABSENT = -1e9  # a logit whose probability is 0, finite so that differences are numbers
_LARGE = 60.0  # e^60 is still a float32
_MODERATE = 8.0  # beyond such a divergence u - KL has fewer digits left than p_s - p_t


def exp_remainder(u: Tensor) -> Tensor:
    """e^u - 1 - u, to nearly full relative precision, also near 0.

    Example::

        >>> import torch
        >>> from monai_kd.losses.divergence import exp_remainder
        >>> exp_remainder(torch.tensor(1e-4))  # e^u - 1 - u would be 1.66e-08
        tensor(5.0002e-09)
    """
    v = u.clamp(-_SERIES, _SERIES)
    series = v / 7 + 1
    for n in (6, 5, 4, 3):
        series = series * v / n + 1
    beyond = (torch.expm1(u) - u) - (torch.expm1(v) - v)  # exactly 0 where u = v
    return series * v * v / 2 + beyond


def softmax_kl(input: Tensor, target: Tensor, temperature: float = 1.0, dim: int = 1) -> Tensor:
    """The Kullback-Leibler divergence of two softmax distributions, as precise near zero as far from it.

    .. math:: \\mathrm{KL}(p_t \\| p_s) = \\log \\sum_c p_{t,c} e^{u_c}
        = \\log\\Bigl(1 + \\sum_c p_{t,c} (e^{u_c} - 1 - u_c)\\Bigr), \\qquad
        u = d - \\sum_c p_{t,c} d_c, \\quad d = (z_s - z_t) / T

    The textbook's :math:`\\sum p_t (\\log p_t - \\log p_s)` is the same number, but its terms cancel as the student
    nears the teacher. Here no term of the sum is negative. The gradient is :math:`(p_s - p_t) / T`.

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape; a constant.
        temperature: T, which divides both.
        dim: axis of the classes, which the result no longer has.

    Example::

        >>> import torch
        >>> from monai_kd.losses.divergence import softmax_kl
        >>> softmax_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor([0.1109])
    """
    return _SoftmaxKL.apply(input, target.detach(), temperature, dim).squeeze(dim)


def softmax_difference(input: Tensor, target: Tensor, temperature: float = 1.0, dim: int = 1) -> Tensor:
    """softmax(input / T) - softmax(target / T), to full relative precision also where the two are near.

    .. math:: p_s - p_t = (p_s + p_t) \\tanh\\frac{\\log p_s - \\log p_t}{2}, \\qquad
        \\log p_s - \\log p_t = u - \\mathrm{KL}(p_t \\| p_s)

    with u of `softmax_kl`.

    Args:
        input: logits of the student.
        target: logits of the teacher, the same shape; a constant.
        temperature: T, which divides both.
        dim: axis of the classes.
    """
    target = target.detach()
    return _difference(input, target, _SoftmaxKL.apply(input, target, temperature, dim), temperature, dim)


def bernoulli_kl(input: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """The Kullback-Leibler divergence of each pair of Bernoulli distributions: `softmax_kl` with the logits (0, z).

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape, which is the result's, too; a constant.
        temperature: T, which divides both.
    """
    return _BernoulliKL.apply(input, target.detach(), temperature)


def sigmoid_difference(input: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """sigmoid(input / T) - sigmoid(target / T), to full relative precision also where the two are near.

    .. math:: p_s - p_t = (p_s (1 - p_t) + p_t (1 - p_s)) \\tanh\\frac{z_s - z_t}{2 T}

    Args:
        input: logits z_s of the student.
        target: logits z_t of the teacher, the same shape.
        temperature: T, which divides both.
    """
    s, t = input / temperature, target / temperature
    either = torch.sigmoid(s) * torch.sigmoid(-t) + torch.sigmoid(t) * torch.sigmoid(-s)
    return either * torch.tanh((input - target) / (2 * temperature))


def negative_log_softmax(logits: Tensor, index: Tensor) -> Tensor:
    """The cross-entropy of each row, as precise near zero as far from it.

    .. math:: -\\log \\frac{e^{z_y}}{\\sum_c e^{z_c}} = \\log \\Bigl( 1 + \\sum_{c \\ne y} e^{z_c - z_y} \\Bigr)

    Args:
        logits: z, [N, C].
        index: y, [N].

    Example::

        >>> import torch
        >>> from monai_kd.losses.divergence import negative_log_softmax
        >>> negative_log_softmax(torch.tensor([[17.0, 0.0]]), torch.tensor([0]))  # torch's cross_entropy gives 0
        tensor([4.1399e-08])
    """
    index = index.unsqueeze(1)
    return F.softplus((logits - logits.gather(1, index)).scatter(1, index, _ABSENT).logsumexp(1), threshold=40.0)


class _SoftmaxKL(torch.autograd.Function):
    """`softmax_kl`, which keeps the axis; only inputs and result are saved for the backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, target: Tensor, temperature: float, dim: int) -> Tensor:
        u, log_p = _centre(input, target, temperature, dim)
        near = torch.log1p((log_p.exp() * exp_remainder(u.clamp(max=_LARGE))).sum(dim, keepdim=True))
        far = torch.logsumexp(log_p + u, dim, keepdim=True)
        return torch.where(u.amax(dim, keepdim=True) <= _LARGE, near, far)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        input, target, ctx.temperature, ctx.dim = inputs
        ctx.save_for_backward(input, target, output)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        input, target, kl = ctx.saved_tensors
        return grad[0] / ctx.temperature * _difference(input, target, kl, ctx.temperature, ctx.dim), None, None, None


class _BernoulliKL(torch.autograd.Function):
    """`bernoulli_kl`; only the inputs are saved for the backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, target: Tensor, temperature: float) -> Tensor:
        change, t = (input - target) / temperature, target / temperature
        p, q = torch.sigmoid(t), torch.sigmoid(-t)
        one, zero = q * change, -p * change  # u of the class, and of its absence
        near = torch.log1p(p * exp_remainder(one.clamp(max=_LARGE)) + q * exp_remainder(zero.clamp(max=_LARGE)))
        far = torch.logaddexp(F.logsigmoid(t) + one, F.logsigmoid(-t) + zero)
        return torch.where(torch.maximum(one, zero) <= _LARGE, near, far)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        input, target, ctx.temperature = inputs
        ctx.save_for_backward(input, target)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        input, target = ctx.saved_tensors
        return grad[0] / ctx.temperature * sigmoid_difference(input, target, ctx.temperature), None, None


def _centre(input: Tensor, target: Tensor, temperature: float, dim: int) -> tuple[Tensor, Tensor]:
    """u and log p_t of `softmax_kl`."""
    change = (input - target) / temperature
    log_p = F.log_softmax(target / temperature, dim)
    return change - (log_p.exp() * change).sum(dim, keepdim=True), log_p


def _difference(input: Tensor, target: Tensor, kl: Tensor, temperature: float, dim: int) -> Tensor:
    """p_s - p_t of `softmax_difference`, given the divergence with its axis kept."""
    u, log_p = _centre(input, target, temperature, dim)
    p_s, p_t = F.softmax(input / temperature, dim), log_p.exp()
    near = (p_s + p_t) * torch.tanh((u - kl) / 2)
    return torch.where(kl <= _MODERATE, near, p_s - p_t)
