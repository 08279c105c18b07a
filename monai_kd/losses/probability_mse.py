# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_reduction, check_several_classes
from monai_kd.losses.chunked import is_transformed
from monai_kd.losses.divergence import sigmoid_difference, softmax_difference
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows
from monai_kd.losses.rows import compare_rows, softmax
from monai_kd.utils import ClassMismatchError

__all__ = ["ProbabilityMSELoss"]


class ProbabilityMSELoss(nn.Module):
    """Pull the student's probabilities toward the teacher's, squared: the consistency term of mean teachers.

    .. math:: L = \\frac{1}{M C} \\sum_{i=1}^{M} \\sum_{c=1}^{C} w_c (p_{s,ic} - p_{t,ic})^2, \\qquad
        p = \\mathrm{softmax}(z) \\text{ or } \\sigma(z)

    over the M rows: samples, pixels or voxels. It is bounded by 1, so that a wrong teacher cannot dominate.
    Time O(M C); of memory the gradient alone.

    Args:
        sigmoid: take the sigmoid of each logit instead of the softmax over classes, for labels or regions that do not
            exclude each other.
        reduction: over rows: 'mean', 'sum' or 'none' (the mean over classes of each row, [N, *spatial]).
        weight: w, of each class, [C]; 1 by default.

    Raises:
        ConfigError: the reduction is unknown.

    Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017 (arXiv 1703.01780).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ProbabilityMSELoss
        >>> ProbabilityMSELoss()(torch.tensor([[0.0, 0.0]]), torch.tensor([[9.0, -9.0]]))
        tensor(0.2500)
    """

    selected_by = ("mask",)

    def __init__(
        self, sigmoid: bool = False, reduction: str = "mean", weight: Sequence[float] | Tensor | None = None
    ) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.reduction = check_reduction(reduction)
        self.weight = None if weight is None else torch.as_tensor(weight, dtype=torch.float64)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial]; C >= 2 unless `sigmoid`.
            target: logits of the teacher, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes, or the weights do.
            ShapeMismatchError: they differ in anything else of their shape, or the mask does not fit.
            ConfigError: there is one class only, without `sigmoid`.
        """
        check_logits(input, target, mask, where="ProbabilityMSELoss")
        if not self.sigmoid:
            check_several_classes(input, where="ProbabilityMSELoss", fix="use sigmoid=True")
        if self.weight is not None and len(self.weight) != input.shape[1]:
            raise ClassMismatchError(
                f"{len(self.weight)} weights for {input.shape[1]} classes", where="ProbabilityMSELoss"
            )
        if self.reduction != "none" and input.device.type == "cpu" and not is_transformed():
            return compare_rows(self._rows, input, target, self.reduction, mask)
        input, target = keep_selected(mask, input, target.detach())
        difference = sigmoid_difference(input, target) if self.sigmoid else softmax_difference(input, target)
        return reduce_rows(self._mean(difference), self.reduction, mask)

    def _rows(self, s: Tensor, t: Tensor) -> Tensor:
        p_s, p_t = (torch.sigmoid(x) if self.sigmoid else softmax(x) for x in (s, t))  # in float64
        return self._mean(p_s - p_t)

    def _mean(self, difference: Tensor) -> Tensor:
        square = difference.square()
        if self.weight is not None:
            square = square * self.weight.to(square).reshape(-1, *[1] * (square.ndim - 2))
        return square.mean(1)
