# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features, check_positive, check_reduction
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision
from monai_kd.losses.total import total_softmax_kl

__all__ = ["ChannelWiseKDLoss"]


class ChannelWiseKDLoss(nn.Module):
    """Pull where each channel of the student is bright toward where the teacher's is: for logits or features of maps.

    .. math:: L = \\frac{T^2}{N C} \\sum_{n,c} \\mathrm{KL}\\bigl(\\mathrm{softmax}_x(F_{t,ncx} / T) \\,\\|\\,
        \\mathrm{softmax}_x(F_{s,ncx} / T)\\bigr)

    with the softmax over the S positions x of a channel. Time O(N C S); of memory the gradient alone.

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
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: maps of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar, or [N, C] without reduction.

        Raises:
            ShapeMismatchError: the shapes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="ChannelWiseKDLoss", spatial=True)
        check_features(input, target, where="ChannelWiseKDLoss")
        s, t = (x.flatten(2).flatten(0, 1) for x in (input, target.detach()))
        if self.reduction == "none":
            return self.temperature**2 * softmax_kl(s, t, self.temperature).reshape(input.shape[:2])
        total = self.temperature**2 * total_softmax_kl(s, t, self.temperature)
        return total if self.reduction == "sum" else total / max(len(s), 1)
