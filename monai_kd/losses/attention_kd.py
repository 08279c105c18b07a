# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_positive, check_reduction
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision, reduce_rows
from monai_kd.utils import ShapeMismatchError

__all__ = ["AttentionKDLoss"]


class AttentionKDLoss(nn.Module):
    """Make the student attend to the instances of a bag that the teacher attends to.

    .. math:: L = \\frac{1}{N} \\sum_n \\sum_i a^t_{ni} \\log \\frac{a^t_{ni}}{a^s_{ni}}, \\qquad
        a = \\mathrm{softmax}_i(e / T)

    over the instances i of bag n, from the scores e before the softmax. The mask tells instances from padding; a bag
    without any does not count. Time and memory O(N I).

    Args:
        temperature: T.
        reduction: over bags: 'mean', 'sum' or 'none' ([N]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    The form is inferred: the divergence of attention weights as in attention-based multiple-instance learning (Ilse et
    al., ICML 2018, arXiv 1802.04712).

    Example::

        >>> import torch
        >>> from monai_kd.losses import AttentionKDLoss
        >>> scores, padded = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[True, True, False]])
        >>> AttentionKDLoss()(scores, torch.tensor([[0.0, 1.0, 9.0]]), mask=padded)
        tensor(0.1109)
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: scores of the student, [N, I].
            target: scores of the teacher, the same shape; no gradient flows into them.
            mask: which instances there are, [N, I] boolean.

        Returns:
            A scalar, or [N] without reduction.

        Raises:
            ShapeMismatchError: the shapes differ, or are not [N, I].
        """
        check_features(input, target, where="AttentionKDLoss")
        if input.ndim != 2 or (mask is not None and mask.shape != input.shape):
            found = "" if mask is None else f", mask {tuple(mask.shape)}"
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}{found}", where="AttentionKDLoss", fix="give scores and mask [N, I]"
            )
        target, bags = target.detach(), None
        if mask is not None:
            mask = mask.bool()
            absent = torch.full((), -1e9, dtype=input.dtype, device=input.device)  # an attention of 0 on both sides
            input, target = (torch.where(mask, x, absent) for x in (input, target))
            bags = mask.any(1)
        return reduce_rows(softmax_kl(input, target, self.temperature), self.reduction, bags)

    def count(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """How many bags the mean is over: those with an instance."""
        bags = input.new_ones(len(input)) if mask is None else mask.bool().any(1)
        return bags.sum(dtype=torch.float64)
