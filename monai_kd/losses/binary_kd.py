# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction
from monai_kd.losses.divergence import bernoulli_kl
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows, reduce_total
from monai_kd.losses.total import total_bernoulli_kl
from monai_kd.utils import ConfigError

__all__ = ["BinaryKDLoss"]


class BinaryKDLoss(nn.Module):
    """Pull the student's sigmoid probabilities toward the teacher's: `KDLoss` for labels that may occur together.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\sum_c \\mathrm{KL}\\bigl(\\mathrm{Bern}(\\sigma(z_{t,ic} / T))
        \\,\\|\\, \\mathrm{Bern}(\\sigma(z_{s,ic} / T))\\bigr)

    over the M rows: samples, pixels or voxels; or with the mean over c instead of the sum. It is binary cross-entropy
    with the teacher's probabilities less their entropy, so that 0 is perfect. For multi-label diagnosis, for regions
    that overlap, and for a single logit. Time O(M C); of memory the gradient alone.

    Args:
        temperature: T; higher shows more of the teacher's doubt.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).
        label_reduction: over labels: 'sum', or 'mean', as torch's `BCEWithLogitsLoss` has it and beside which it is
            meant to weigh what it weighs, however many labels there are.

    Raises:
        ConfigError: the temperature is not positive, a reduction unknown.

    Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015 (arXiv 1503.02531), for each label alone.

    Example::

        >>> import torch
        >>> from monai_kd.losses import BinaryKDLoss
        >>> BinaryKDLoss(temperature=2)(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0]]))
        tensor(0.4438)
    """

    selected_by = ("mask",)

    def __init__(self, temperature: float = 2.0, reduction: str = "mean", label_reduction: str = "sum") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)
        if label_reduction not in ("sum", "mean"):
            raise ConfigError(f"label_reduction must be 'sum' or 'mean', got {label_reduction!r}")
        self.label_reduction = label_reduction

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
            ClassMismatchError: student and teacher differ in the number of labels.
            ShapeMismatchError: they differ in anything else of their shape, or the mask does not fit.
            ConfigError: the mask is neither boolean nor floating.
        """
        check_logits(input, target, mask, where="BinaryKDLoss")
        scale = self.temperature**2 / (input.shape[1] if self.label_reduction == "mean" else 1)
        input, target = keep_selected(mask, input, target.detach())
        if self.reduction == "none":
            rows = scale * bernoulli_kl(input, target, self.temperature).sum(1)
            return reduce_rows(rows, "none", mask)
        total = scale * total_bernoulli_kl(input, target, self.temperature, mask)
        return reduce_total(total, input, self.reduction, mask)
