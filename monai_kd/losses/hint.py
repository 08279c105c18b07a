# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_mask, check_reduction
from monai_kd.losses.functional import full_precision, mean_square

__all__ = ["HintLoss"]


class HintLoss(nn.Module):
    """Pull the student's features toward the teacher's, entry by entry: the hint of FitNets.

    .. math:: L = \\frac{1}{M C} \\sum_{i=1}^{M} \\sum_{c=1}^{C} (F_{s,ic} - F_{t,ic})^2

    over the channels of the M rows: samples, or places of the maps. The student's features come out of a `Connector`,
    if they are of another width or size than the teacher's. Time and memory O(M C).

    Args:
        reduction: over rows: 'mean', 'sum' or 'none' (the mean over channels of each row, [N, *spatial]).

    Raises:
        ConfigError: the reduction is unknown.

    Romero et al., FitNets: hints for thin deep nets, ICLR 2015 (arXiv 1412.6550).

    Example::

        >>> import torch
        >>> from monai_kd.losses import HintLoss
        >>> HintLoss()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor(2.)
    """

    selected_by = ("mask",)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            target: features of the teacher, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ShapeMismatchError: the shapes differ, or the mask does not fit; nothing is ever broadcast.
        """
        check_features(input, target, where="HintLoss")
        if mask is not None:
            check_mask(mask, input, where="HintLoss")
        return mean_square(input, target, self.reduction, mask)
