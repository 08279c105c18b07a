# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features, check_mask, check_positive, check_reduction
from monai_kd.losses.chunked import exact, sum_in_chunks
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows
from monai_kd.losses.total import total_softmax_kl

__all__ = ["ChannelWiseKDLoss"]

_ABSENT = -1e9  # the logarithm of the weight of a place that does not count, finite so that differences are numbers


class ChannelWiseKDLoss(nn.Module):
    """Pull where each channel of the student is bright toward where the teacher's is: for logits or features of maps.

    .. math:: L = \\frac{T^2}{N C} \\sum_{n,c} \\mathrm{KL}\\bigl(\\mathrm{softmax}_x(F_{t,ncx} / T) \\,\\|\\,
        \\mathrm{softmax}_x(F_{s,ncx} / T)\\bigr)

    with the softmax over the S positions x of a channel, or over those of a mask, as if there were no others; samples
    without any are left out of N. Time O(N C S); of memory the gradient alone, and a mask once for each channel.

    Args:
        temperature: T; higher looks at more of the map.
        reduction: over channels: 'mean', 'sum' or 'none' (one value a channel, [N, C]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    Shu et al., Channel-wise knowledge distillation for dense prediction, ICCV 2021 (arXiv 2011.13256).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ChannelWiseKDLoss
        >>> student, teacher = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> ChannelWiseKDLoss(temperature=1)(student, teacher)
        tensor(0.1109)
    """

    def __init__(self, temperature: float = 4.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: maps of the teacher, the same shape; no gradient flows into them.
            mask: which positions there are, [N, *spatial] or [N, 1, *spatial], boolean or weights (how often a position
                is there); without any the loss is 0.

        Returns:
            A scalar, or [N, C] without reduction.

        Raises:
            ShapeMismatchError: the shapes differ, there are no spatial axes, or the mask does not fit.
        """
        check_batch(input, target, where="ChannelWiseKDLoss", spatial=True)
        check_features(input, target, where="ChannelWiseKDLoss")
        if mask is not None:
            return self._masked(input, target.detach(), mask)
        s, t = (x.flatten(2).flatten(0, 1) for x in (input, target.detach()))
        if self.reduction == "none":
            return self.temperature**2 * softmax_kl(s, t, self.temperature).reshape(input.shape[:2])
        total = self.temperature**2 * total_softmax_kl(s, t, self.temperature)
        return total if self.reduction == "sum" else total / max(len(s), 1)

    def count(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """How many channels the mean is over: those of samples with a position."""
        channels = input.new_ones(input.shape[:2]) if mask is None else _there(mask, input)
        return channels.sum(dtype=torch.float64)

    def _masked(self, input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        check_mask(mask, input, where="ChannelWiseKDLoss")
        channels = input.shape[:2]
        weight = mask.detach().reshape(channels[0], 1, math.prod(input.shape[2:]))
        there = _there(mask, input)
        s, t = (x.flatten(2).flatten(0, 1) for x in keep_selected(mask, input, target))
        w = weight.expand(*channels, -1).flatten(0, 1)
        if self.reduction == "none":
            return reduce_rows(self._rows(exact(s), exact(t), exact(w)).reshape(channels).to(s.dtype), "none", there)
        total = sum_in_chunks(self._rows, [s], [t, w])
        return total if self.reduction == "sum" else total / there.sum().clamp(min=1)

    def _rows(self, s: Tensor, t: Tensor, w: Tensor) -> Tensor:
        log_w = w.to(s.dtype).log().clamp(min=_ABSENT)
        s, t = s / self.temperature, t / self.temperature
        log_s, log_t = (x - (x + log_w).logsumexp(1, keepdim=True) for x in (s, t))  # of a position, counted once
        return self.temperature**2 * ((log_t + log_w).exp() * (log_t - log_s)).sum(1)


def _there(mask: Tensor, input: Tensor) -> Tensor:
    """Which channels have a position, [N, C]."""
    return (mask.flatten(1) != 0).any(1, keepdim=True).expand(input.shape[:2])
