# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_reduction, check_several_classes
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows

__all__ = ["CrossPseudoSupervisionLoss"]


class CrossPseudoSupervisionLoss(nn.Module):
    """Take the other network's decision for the label.

    .. math:: L = -\\frac{1}{M} \\sum_{i=1}^{M} \\log p_{s,i y_i}, \\qquad y_i = \\arg\\max_c z_{t,ic}

    over the M rows: samples, pixels or voxels. Two networks that start apart teach each other: one term for each
    direction. The least value is not at the other network. Time and memory O(M C).

    Args:
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).

    Raises:
        ConfigError: the reduction is unknown.

    Chen et al., Semi-supervised semantic segmentation with cross pseudo supervision, CVPR 2021 (arXiv 2106.01226).

    Example::

        >>> import torch
        >>> from monai_kd.losses import CrossPseudoSupervisionLoss
        >>> CrossPseudoSupervisionLoss()(torch.zeros(1, 2), torch.tensor([[0.1, 0.0]]))
        tensor(0.6931)
    """

    selected_by = ("mask",)

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the network that learns, [N, C] or [N, C, *spatial].
            target: logits of the other, the same shape; no gradient flows into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: the numbers of classes differ.
            ShapeMismatchError: anything else of the shapes differs, or the mask does not fit.
            ConfigError: there is one class only.
        """
        check_logits(input, target, mask, where="CrossPseudoSupervisionLoss")
        check_several_classes(input, where="CrossPseudoSupervisionLoss", fix="give two logits")
        input, target = keep_selected(mask, input, target.detach())
        return reduce_rows(F.cross_entropy(input, target.argmax(1), reduction="none"), self.reduction, mask)
