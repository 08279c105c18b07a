# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_reduction, check_several_classes
from monai_kd.losses.functional import full_precision
from monai_kd.losses.rows import class_index, compare_rows, softmax

__all__ = ["OFAKDLoss"]


class OFAKDLoss(nn.Module):
    """Distil into logits of an early exit, with the true class enhanced: for networks that are built unlike each other.

    .. math:: L = -\\frac{1}{M} \\sum_{i=1}^{M} \\sum_{c=1}^{C}
        \\bigl[ (p_{t,ic} + 1_{c = y})^\\gamma - 1_{c = y} \\bigr] \\log p_{s,ic}, \\qquad p = \\mathrm{softmax}(z)

    over the M rows: samples, pixels or voxels. The logits come from exits, one for each stage of the student: a
    `PooledConnector` to the number of classes (a `Connector` for dense answers) as a pass. It is a cross-entropy: its
    least value is not 0. Time O(M C); of memory the gradient alone.

    Args:
        gamma: how much the true class is enhanced; 1 is not at all, the authors take 1 to 1.5.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: gamma is below 1, the reduction unknown.

    Hao et al., One-for-all: bridge the gap between heterogeneous architectures in knowledge distillation, NeurIPS 2023
    (arXiv 2310.19444).

    Example::

        >>> import torch
        >>> from monai_kd.losses import OFAKDLoss
        >>> OFAKDLoss(gamma=1)(torch.zeros(1, 2), torch.tensor([[4.0, 0.0]]), label=torch.tensor([0]))
        tensor(0.6931)
    """

    selected_by = ("label", "mask")

    def __init__(self, gamma: float = 1.5, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma = check_positive(gamma, "gamma", least=1.0)
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
        check_logits(input, target, mask, where="OFAKDLoss")
        check_several_classes(input, where="OFAKDLoss", fix="give two logits")
        label = class_index(label, input, where="OFAKDLoss")
        return compare_rows(self._rows, input, target, self.reduction, mask, label)

    def _rows(self, s: Tensor, t: Tensor, y: Tensor) -> Tensor:
        y, p = y.unsqueeze(1), softmax(t)
        true = p.gather(1, y)
        weight = p.pow(self.gamma).scatter(1, y, (true + 1) ** self.gamma - 1)
        return weight.sum(1) * s.logsumexp(1) - (weight * s).sum(1)
