# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction, check_several_classes
from monai_kd.losses.divergence import softmax_kl
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows, reduce_total
from monai_kd.losses.total import total_softmax_kl

__all__ = ["KDLoss"]


class KDLoss(nn.Module):
    """Pull the student's softened class probabilities toward the teacher's.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(\\mathrm{softmax}(z_{t,i} / T) \\,\\|\\,
        \\mathrm{softmax}(z_{s,i} / T)\\bigr)

    over the M rows: samples, pixels or voxels. The divergence sums over classes; T^2 keeps the size of the gradient
    when T changes. The mean over rows keeps it when the image grows. Time O(M C); of memory the gradient alone.

    Args:
        temperature: T; higher shows more of how the teacher ranks the wrong classes.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015 (arXiv 1503.02531).

    Example::

        >>> import torch
        >>> from monai_kd.losses import KDLoss
        >>> student, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 0.0]])
        >>> KDLoss(temperature=4)(student, teacher)
        tensor(0.4968)
    """

    selected_by = ("mask",)

    def __init__(self, temperature: float = 4.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial], C >= 2.
            target: logits of the teacher, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or the mask does not fit.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="KDLoss")
        check_several_classes(input, where="KDLoss", fix="use BinaryKDLoss")
        input, target = keep_selected(mask, input, target.detach())
        if self.reduction == "none":
            return reduce_rows(self.temperature**2 * softmax_kl(input, target, self.temperature), "none", mask)
        total = self.temperature**2 * total_softmax_kl(input, target, self.temperature, mask)
        return reduce_total(total, input, self.reduction, mask)
