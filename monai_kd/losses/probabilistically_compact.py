# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_margin, check_several_classes
from monai_kd.losses.functional import full_precision, reduce_rows
from monai_kd.losses.rows import class_index, softmax

__all__ = ["ProbabilisticallyCompactLoss"]


class ProbabilisticallyCompactLoss(nn.Module):
    """Keep the true class ahead of every other by a margin: learns labels in place of cross-entropy.

    .. math:: L = \\frac{1}{M} \\sum_{i=1}^{M} \\sum_{c \\ne y_i} \\max(0,\\; p_{ic} - p_{iy} + \\xi), \\qquad
        p = \\mathrm{softmax}(z)

    with y the true class of row i: sample, pixel or voxel. Nothing is asked of a row whose class leads by the margin.
    Time and memory O(M C).

    Args:
        margin: xi, in [0, 1].

    Raises:
        ConfigError: the margin is not in [0, 1].

    Li, Li & Zhu, COVID-MobileXpert: on-device COVID-19 patient triage and follow-up using chest X-rays, BIBM 2020
    (arXiv 2004.03042).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ProbabilisticallyCompactLoss
        >>> ProbabilisticallyCompactLoss(margin=0.8)(torch.zeros(1, 3), torch.tensor([1]))  # two others, as likely
        tensor(1.6000)
    """

    selected_by = ("label",)

    def __init__(self, margin: float = 0.8) -> None:
        super().__init__()
        self.margin = check_margin(margin)

    @full_precision
    def forward(self, input: Tensor, label: Tensor) -> Tensor:
        """Measure.

        Args:
            input: logits, [N, C] or [N, C, *spatial].
            label: true class of each row, [N, *spatial] or [N, 1, *spatial] (negative: the row does not count), or
                one-hot [N, C, *spatial] (all zero: likewise).

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the logits have no axis of classes, or the labels do not fit them.
            ClassMismatchError: the labels are one-hot of another number of classes, or beyond them.
            ConfigError: there is one class only.
        """
        check_logits(input, input, where="ProbabilisticallyCompactLoss")
        check_several_classes(input, where="ProbabilisticallyCompactLoss", fix="give two logits")
        label = class_index(label, input, where="ProbabilisticallyCompactLoss")
        known, y = label >= 0, label.clamp(min=0).unsqueeze(1)
        p = softmax(input.where(known.unsqueeze(1), input.new_zeros(())))
        behind = (p - p.gather(1, y) + self.margin).clamp(min=0).scatter(1, y, 0.0)
        return reduce_rows(behind.sum(1), "mean", known)
