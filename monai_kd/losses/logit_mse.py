# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_reduction
from monai_kd.losses.functional import full_precision, mean_square

__all__ = ["LogitMSELoss"]


class LogitMSELoss(nn.Module):
    """Pull the student's logits themselves toward the teacher's, squared.

    .. math:: L = \\frac{1}{M C} \\sum_{i=1}^{M} \\sum_{c=1}^{C} (z_{s,ic} - z_{t,ic})^2

    over the M rows: samples, pixels or voxels. KD comes to this as its temperature grows, up to a shift of each row and
    the factor 1 / 2. Time and memory O(M C).

    Args:
        reduction: over rows: 'mean', 'sum' or 'none' (the mean over classes of each row, [N, *spatial]).

    Raises:
        ConfigError: the reduction is unknown.

    Kim et al., Comparing Kullback-Leibler divergence and mean squared error loss in knowledge distillation, IJCAI 2021
    (arXiv 2105.08919).

    Example::

        >>> import torch
        >>> from monai_kd.losses import LogitMSELoss
        >>> LogitMSELoss()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
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
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: logits of the teacher, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or an extra does not fit.
        """
        check_logits(input, target, mask, where="LogitMSELoss")
        return mean_square(input, target, self.reduction, mask)
