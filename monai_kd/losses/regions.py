# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses.checks import check_batch
from monai_kd.utils import ClassMismatchError, ShapeMismatchError

__all__ = ["check_regions", "class_prototypes", "region_masks"]


def check_regions(input: Tensor, target: Tensor, *, where: str) -> None:
    """Check that both are maps of the same samples and the same spatial size; widths may differ.

    Raises:
        ShapeMismatchError: they are not.
    """
    check_batch(input, target, where=where, spatial=True)
    if input.shape[2:] != target.shape[2:]:
        raise ShapeMismatchError(
            f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
            where=where,
            fix="put a `Connector` that resizes between the student's tap and the loss",
        )


def region_masks(label: Tensor, features: Tensor, num_classes: int, *, where: str) -> Tensor:
    """Where each class is, at the size of a feature map: [N, K, S] of zeros and ones, in the map's dtype.

    Args:
        label: class indices [N, *any] or [N, 1, *any] (negative: no class), or one-hot [N, K, *any].
        features: [N, C, *spatial].
        num_classes: K.
        where: name of the loss, for the message.

    Raises:
        ShapeMismatchError: the label has other samples or another number of axes.
        ClassMismatchError: it is one-hot of another number of classes, or (seen on a CPU) an index is too large.
    """
    axes, shape = features.ndim - 2, tuple(label.shape)
    if len(shape) == axes + 1:
        label = label.unsqueeze(1)
    if label.ndim != axes + 2 or len(label) != len(features):
        raise ShapeMismatchError(
            f"label is {shape}, student {tuple(features.shape)}",
            where=where,
            fix="give class indices [N, *spatial] or one-hot [N, K, *spatial] of the same samples",
        )
    if label.shape[1] not in (1, num_classes):
        raise ClassMismatchError(f"label is one-hot of {label.shape[1]} classes, not {num_classes}", where=where)
    label = label.detach()
    index = label.to(torch.float32).argmax(1, keepdim=True) if label.shape[1] > 1 else label
    if index.device.type == "cpu" and not torch.compiler.is_compiling() and index.numel():
        if (largest := int(index.max())) >= num_classes:
            raise ClassMismatchError(f"a label is {largest}, num_classes is {num_classes}", where=where)
    if index.shape[2:] != features.shape[2:] and index.numel():
        index = F.interpolate(index.to(torch.float32), features.shape[2:], mode="nearest-exact").round()
    classes = torch.arange(num_classes, device=label.device).reshape(1, -1, 1)
    return (index.reshape(len(index), 1, features[0:1, 0:1].numel() if len(index) else 0) == classes).to(features.dtype)


def class_prototypes(features: Tensor, masks: Tensor) -> Tensor:
    """The mean of the features over the places of each class, [m, C, K]; zeros for a class that is absent.

    Args:
        features: [m, C, S].
        masks: [m, K, S].

    Example::

        >>> import torch
        >>> from monai_kd.losses.regions import class_prototypes
        >>> class_prototypes(torch.tensor([[[1.0, 3.0, 8.0]]]), torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]))
        tensor([[[2., 8.]]])
    """
    return features @ masks.mT / masks.sum(2).unsqueeze(1).clamp(min=1)
