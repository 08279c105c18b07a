# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_reduction
from monai_kd.losses.functional import full_precision
from monai_kd.losses.kd import KDLoss
from monai_kd.losses.rows import class_index
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["BoundaryKDLoss", "boundary"]


def boundary(label: Tensor, radius: int) -> Tensor:
    """Where two classes are within `radius` places of each other along every axis, [N, *spatial].

    That is the dilation less the erosion of each class by a cube, joined: the cube around the place holds two classes.
    A place without a class, its label negative, is near nothing, and no border is around it.

    Args:
        label: class indices [N, *spatial], spatial in one to three dimensions; negative: no class.
        radius: half the cube's edge.

    Example::

        >>> import torch
        >>> from monai_kd.losses.boundary_kd import boundary
        >>> boundary(torch.tensor([[0, 0, 0, 1, 1]]), radius=1)
        tensor([[False, False,  True,  True, False]])
    """
    pool: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[label.ndim - 2]
    classes = label.detach().unsqueeze(1).to(torch.float32)
    none = classes < 0
    around = {"kernel_size": 2 * radius + 1, "stride": 1, "padding": radius}
    highest = pool(classes.masked_fill(none, -torch.inf), **around)
    lowest = -pool(-classes.masked_fill(none, torch.inf), **around)
    return ((highest > lowest) & ~none).squeeze(1)


class BoundaryKDLoss(nn.Module):
    """KD near the borders of the classes alone, where a small network errs.

    .. math:: L = \\frac{T^2}{|B|} \\sum_{x \\in B} \\mathrm{KL}\\bigl(\\mathrm{softmax}(z_{t,x} / T) \\,\\|\\,
        \\mathrm{softmax}(z_{s,x} / T)\\bigr)

    over the places B within `radius` of a border of the label, where two classes meet: a place without a class is
    none of them and makes no border. Without any the loss is 0. The form is inferred. Time O(N C S); of memory the
    gradient alone.

    Args:
        radius: in places, along every axis.
        temperature: T.
        reduction: over places: 'mean', 'sum' or 'none' (one value a place, [N, *spatial]).

    Raises:
        ConfigError: the radius is not a whole number of 1 or more, the temperature not positive, the reduction unknown.

    Example::

        >>> import torch
        >>> from monai_kd.losses import BoundaryKDLoss
        >>> student, teacher = torch.zeros(1, 2, 6), torch.tensor([[[9.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 0, 0, 0]]])
        >>> BoundaryKDLoss()(student, teacher, label=torch.tensor([[0, 0, 0, 0, 1, 1]]))  # the first place is far
        tensor(0.)
    """

    def __init__(self, radius: int = 2, temperature: float = 4.0, reduction: str = "mean") -> None:
        super().__init__()
        if not radius >= 1 or radius % 1:
            raise ConfigError(f"radius must be a whole number of 1 or more, got {radius!r}")
        self.radius = int(radius)
        self.reduction = check_reduction(reduction)
        self.loss = KDLoss(temperature, reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: logits of the teacher, the same shape; no gradient flows into them.
            label: class of every place, [N, *spatial] or [N, 1, *spatial] (negative: none), or one-hot
                [N, C, *spatial] (all zero: none).

        Returns:
            A scalar, or [N, *spatial] without reduction.

        Raises:
            ClassMismatchError: student and teacher differ in the number of classes, or a label is beyond them.
            ShapeMismatchError: they differ in anything else of their shape, the label does not fit, or there are no
                spatial axes.
        """
        check_logits(input, target, where="BoundaryKDLoss")
        if not 3 <= input.ndim <= 5:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}",
                where="BoundaryKDLoss",
                fix="give [N, C, *spatial] with 1, 2 or 3 spatial axes",
            )
        return self.loss(input, target, mask=self._near(input, label))

    def count(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """How many places the mean is over: those near a border."""
        return self._near(input, label).sum(dtype=torch.float64)

    def _near(self, input: Tensor, label: Tensor) -> Tensor:
        index = class_index(label, input, where="BoundaryKDLoss")
        return boundary(index, self.radius) if index.numel() else torch.zeros_like(index, dtype=torch.bool)
