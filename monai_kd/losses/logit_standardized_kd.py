# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction, check_several_classes
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import compare_rows, log_softmax

__all__ = ["LogitStandardizedKDLoss"]


class LogitStandardizedKDLoss(nn.Module):
    """KD of standardised logits: the student learns how the classes rank, not how large the teacher's logits are.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(\\mathrm{softmax}(\\tilde z_{t,i} / T) \\,\\|\\,
        \\mathrm{softmax}(\\tilde z_{s,i} / T)\\bigr), \\qquad
        \\tilde z = \\frac{z - \\bar z}{\\sigma(z) + \\epsilon}

    with the mean and the (unbiased) standard deviation over the classes of a row. Time O(M C); of memory the gradient
    alone.

    Args:
        temperature: T, the base temperature.
        eps: :math:`\\epsilon`; a row of equal logits becomes zeros, without a gradient.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: a number is not positive, the reduction unknown.

    Sun et al., Logit standardization in knowledge distillation, CVPR 2024 (arXiv 2403.01427).

    Example::

        >>> import torch
        >>> from monai_kd.losses import LogitStandardizedKDLoss
        >>> teacher = torch.tensor([[3.0, 0.0, 1.0]])
        >>> LogitStandardizedKDLoss()(0.1 * teacher + 5, teacher) < 1e-6
        tensor(True)
    """

    selected_by = ("mask",)

    def __init__(self, temperature: float = 2.0, eps: float = 1e-7, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature, self.eps = check_positive(temperature, "temperature"), check_positive(eps, "eps")
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
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="LogitStandardizedKDLoss")
        check_several_classes(input, where="LogitStandardizedKDLoss", fix="use BinaryKDLoss")
        return compare_rows(self._rows, input, target, self.reduction, mask)

    def _rows(self, s: Tensor, t: Tensor) -> Tensor:
        log_s, log_t = (log_softmax(self._standardised(x) / self.temperature) for x in (s, t))
        return self.temperature**2 * (log_t.exp() * (log_t - log_s)).sum(1)

    def _standardised(self, z: Tensor) -> Tensor:
        z = z - z.mean(1, keepdim=True)
        variance = z.square().sum(1, keepdim=True) / (z.shape[1] - 1)
        flat = variance == 0  # nothing ranks: zeros, and no gradient, which would be of the size of 1 / eps
        return z.masked_fill(flat, 0) / (variance.masked_fill(flat, 1).sqrt() + self.eps)
