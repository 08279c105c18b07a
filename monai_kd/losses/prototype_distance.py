# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from torch import Tensor, nn

from monai_kd.losses.checks import check_index, check_positive
from monai_kd.losses.functional import full_precision, reduce_rows
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["PrototypeClusterLoss", "PrototypeSeparationLoss"]


class PrototypeClusterLoss(nn.Module):
    """Bring something in each image near to a prototype of its class.

    .. math:: L = \\frac{1}{N} \\sum_{i=1}^{N} \\min_{m \\in P_{y_i}} d_{im}

    over the prototypes :math:`P_y` of class y, which stand class by class, the same number for each. Time O(N M).

    Args:
        num_classes: K.

    Raises:
        ConfigError: there are fewer than two classes.

    Chen et al., "This looks like that: deep learning for interpretable image recognition", NeurIPS 2019
    (arXiv 1806.10574).

    Example::

        >>> import torch
        >>> from monai_kd.losses import PrototypeClusterLoss
        >>> distances = torch.tensor([[3.0, 1.0, 5.0, 7.0]])  # of one image to two prototypes of each of two classes
        >>> PrototypeClusterLoss(num_classes=2)(distances, torch.tensor([0]))
        tensor(1.)
    """

    selected_by = ("label",)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = _several(num_classes, "PrototypeClusterLoss")

    @full_precision
    def forward(self, input: Tensor, label: Tensor) -> Tensor:
        """Measure.

        Args:
            input: distances d of N images to M prototypes, [N, M]: those of a `PrototypeHead`.
            label: class y of each image, [N] or [N, 1] (negative: it does not count).

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the distances are not [N, M] with M a multiple of K, or there is not one label a row.
            ClassMismatchError: a label is beyond the classes.
        """
        nearest, y = _nearest(input, label, self.num_classes, "PrototypeClusterLoss")
        return _mean(nearest.gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1), y)


class PrototypeSeparationLoss(nn.Module):
    """Keep what is in the images away from the prototypes of other classes, up to a margin.

    .. math:: L = \\max\\Bigl(0,\\; \\mu - \\frac{1}{N} \\sum_{i=1}^{N} \\min_{m \\notin P_{y_i}} d_{im}\\Bigr)

    over the prototypes :math:`P_y` of class y, which stand class by class, the same number for each. The margin is for
    the batch, not for each image. Time O(N M).

    Args:
        num_classes: K.
        margin: mu, a squared distance.

    Raises:
        ConfigError: there are fewer than two classes, or the margin is not positive.

    Chen et al., NeurIPS 2019 (arXiv 1806.10574), with the margin of a public re-implementation of Wang et al.,
    "Knowledge distillation to ensemble global and interpretable prototype-based mammogram classification models",
    MICCAI 2022 (arXiv 2209.12420).

    Example::

        >>> import torch
        >>> from monai_kd.losses import PrototypeSeparationLoss
        >>> distances = torch.tensor([[3.0, 1.0, 5.0, 7.0]])  # of one image to two prototypes of each of two classes
        >>> PrototypeSeparationLoss(num_classes=2, margin=10)(distances, torch.tensor([0]))
        tensor(5.)
    """

    relational = True  # the margin is for the mean over the batch

    def __init__(self, num_classes: int, margin: float = 10.0) -> None:
        super().__init__()
        self.num_classes = _several(num_classes, "PrototypeSeparationLoss")
        self.margin = check_positive(margin, "margin")

    @full_precision
    def forward(self, input: Tensor, label: Tensor) -> Tensor:
        """Measure.

        Args:
            input: distances d of N images to M prototypes, [N, M]: those of a `PrototypeHead`.
            label: class y of each image, [N] or [N, 1] (negative: it does not count).

        Returns:
            A scalar; 0 if no image counts.

        Raises:
            ShapeMismatchError: the distances are not [N, M] with M a multiple of K, or there is not one label a row.
            ClassMismatchError: a label is beyond the classes.
        """
        nearest, y = _nearest(input, label, self.num_classes, "PrototypeSeparationLoss")
        others = nearest.scatter(1, y.clamp(min=0).unsqueeze(1), math.inf).amin(1)
        margin = self.margin * (y >= 0).any().to(nearest.dtype)
        return (margin - _mean(others, y)).clamp(min=0)


def _several(num_classes: int, where: str) -> int:
    if num_classes < 2:
        raise ConfigError(f"num_classes must be at least 2, got {num_classes!r}", where=where)
    return int(num_classes)


def _nearest(distances: Tensor, label: Tensor, num_classes: int, where: str) -> tuple[Tensor, Tensor]:
    """The distance to the nearest prototype of each class, [N, K], and the labels [N]."""
    shape = tuple(distances.shape)
    if len(shape) != 2 or shape[1] == 0 or shape[1] % num_classes or label.numel() != shape[0]:
        raise ShapeMismatchError(
            f"distances are {shape}, label {tuple(label.shape)}",
            where=where,
            fix=f"give distances [N, M] to as many prototypes for each of the {num_classes} classes, and N labels",
        )
    label = label.detach().reshape(-1).long()
    check_index(label, num_classes, where=where)
    return distances.unflatten(1, (num_classes, -1)).amin(2), label


def _mean(rows: Tensor, label: Tensor) -> Tensor:
    known = label >= 0
    return reduce_rows(rows.where(known, rows.new_zeros(())), "mean", known)
