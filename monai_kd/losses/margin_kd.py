# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_margin, check_reduction, check_several_classes
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import class_index, compare_rows, softmax

__all__ = ["MarginKDLoss"]


class MarginKDLoss(nn.Module):
    """Make the student surer of the true class than the teacher, by a margin.

    .. math:: L = \\frac{1}{M} \\sum_{i=1}^{M} \\max(0,\\; p_{t,iy} - p_{s,iy} + m), \\qquad p = \\mathrm{softmax}(z)

    with y the true class of row i: sample, pixel or voxel. Nothing is asked of a student that leads by m. Time O(M C);
    of memory the gradient alone.

    Args:
        margin: m, in [0, 1].
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: the margin is not in [0, 1], the reduction unknown.

    Wang et al., Knowledge distillation to ensemble global and interpretable prototype-based mammogram classification
    models, MICCAI 2022 (arXiv 2209.12420).

    Example::

        >>> import torch
        >>> from monai_kd.losses import MarginKDLoss
        >>> MarginKDLoss(margin=0.2)(torch.zeros(1, 2), torch.zeros(1, 2), label=torch.tensor([1]))
        tensor(0.2000)
    """

    selected_by = ("label", "mask")

    def __init__(self, margin: float = 0.2, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = check_margin(margin)
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, label: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: logits of the teacher, the same shape; no gradient flows into them.
            label: true class of each row, [N, *spatial] or [N, 1, *spatial] (negative: the row does not count), or
                one-hot [N, C, *spatial] (all zero: likewise).
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes, or a label is beyond them.
            ShapeMismatchError: they differ in anything else of their shape, or an extra does not fit.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="MarginKDLoss")
        check_several_classes(input, where="MarginKDLoss", fix="give two logits")
        label = class_index(label, input, where="MarginKDLoss")
        return compare_rows(self._rows, input, target, self.reduction, mask, label)

    def _rows(self, s: Tensor, t: Tensor, y: Tensor) -> Tensor:
        p_s, p_t = (softmax(x).gather(1, y.unsqueeze(1)).squeeze(1) for x in (s, t))
        return (p_t - p_s + self.margin).clamp(min=0)
