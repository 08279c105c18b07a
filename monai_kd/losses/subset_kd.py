# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_kd.losses.binary_kd import BinaryKDLoss
from monai_kd.losses.checks import check_logits
from monai_kd.losses.functional import full_precision
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ClassMismatchError, ConfigError

__all__ = ["SubsetKDLoss"]


class SubsetKDLoss(nn.Module):
    """KD on some of the classes, renormalised among themselves: for a teacher that knows only these.

    .. math:: L = \\frac{T^2}{M} \\sum_{i=1}^{M} \\mathrm{KL}\\bigl(\\mathrm{softmax}(z_{t,i} / T) \\,\\|\\,
        \\mathrm{softmax}(z_{s,i}[S] / T)\\bigr)

    with S the subset, over the M rows: samples, pixels or voxels. With `sigmoid` each label of S is compared by itself,
    as in `BinaryKDLoss`. Which rows a teacher may speak about is the mask's or the term's `where`. Time O(M C).

    Args:
        classes: S, the student's columns in the order of the teacher's.
        temperature: T.
        sigmoid: labels that do not exclude each other.
        reduction: over rows: 'mean', 'sum' or 'none' (one value a row, [N, *spatial]).
        label_reduction: over the labels of S with `sigmoid`: 'sum' or 'mean'; a softmax is one answer and has no say.

    Raises:
        ConfigError: the subset repeats a class or is too small, the temperature is not positive, a reduction unknown.

    Ju et al., Relational subsets knowledge distillation for long-tailed retinal diseases recognition, MICCAI 2021
    (arXiv 2104.11057).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SubsetKDLoss
        >>> student, teacher = torch.tensor([[9.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0]])
        >>> SubsetKDLoss(classes=[1, 2])(student, teacher)
        tensor(0.)
    """

    selected_by = ("mask",)

    def __init__(
        self,
        classes: Sequence[int],
        temperature: float = 4.0,
        sigmoid: bool = False,
        reduction: str = "mean",
        label_reduction: str = "sum",
    ) -> None:
        super().__init__()
        self.classes = [int(c) for c in classes]
        if len(set(self.classes)) < len(self.classes) or min(self.classes, default=-1) < 0:
            raise ConfigError(f"classes must be different numbers from 0 on, got {list(classes)}")
        if len(self.classes) < (1 if sigmoid else 2):
            raise ConfigError(f"classes {self.classes} are too few", fix="give two or more, or sigmoid=True")
        binary = BinaryKDLoss(temperature, reduction, label_reduction)
        self.loss = binary if sigmoid else KDLoss(temperature, reduction)
        self.reduction = self.loss.reduction

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: logits of the teacher, [N, C, ...] or of the subset alone, [N, len(classes), ...]; no gradient flows
                into them.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes.
            ShapeMismatchError: they differ in anything else of their shape, or an extra does not fit.
        """
        chosen = torch.tensor(self.classes, device=input.device)
        if max(self.classes) >= input.shape[1]:
            raise ClassMismatchError(
                f"student has {input.shape[1]} classes, the subset is {self.classes}", where="SubsetKDLoss"
            )
        if target.shape[1] != len(self.classes):
            check_logits(input, target, mask, where="SubsetKDLoss")
            target = target.index_select(1, chosen)
        return self.loss(input.index_select(1, chosen), target, mask=mask)
