# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses.checks import check_batch, check_index
from monai_kd.losses.chunked import exact, is_transformed
from monai_kd.losses.rows import one_hot_index
from monai_kd.utils import ClassMismatchError, ShapeMismatchError

__all__ = ["check_regions", "class_prototypes", "images_with_a_class", "region_masks"]

_CHUNK = 2**18  # entries of the features at a time


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
        label: class indices [N, *any] or [N, 1, *any] (negative: no class), or one-hot [N, K, *any] (all zero: none).
        features: [N, C, *spatial].
        num_classes: K.
        where: name of the loss, for the message.

    Raises:
        ShapeMismatchError: the label has other samples or another number of axes.
        ClassMismatchError: it is one-hot of another number of classes, or (seen on a CPU) an index is too large
            or no whole number, or a place has two classes.
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
    index = one_hot_index(label, where=where) if label.shape[1] > 1 else label
    check_index(index, num_classes, where=where)
    if index.shape[2:] != features.shape[2:] and index.numel():
        index = F.interpolate(index.to(torch.float32), features.shape[2:], mode="nearest-exact").round()
    classes = torch.arange(num_classes, device=label.device).reshape(1, -1, 1)
    return (index.reshape(len(index), 1, math.prod(features.shape[2:])) == classes).to(features.dtype)


def images_with_a_class(masks: Tensor) -> Tensor:
    """How many images have a class, of the masks of `region_masks`, [N, K, S]: what a mean over them is divided by."""
    return masks.flatten(1).any(1).sum()


def class_prototypes(features: Tensor, masks: Tensor) -> Tensor:
    """The mean of the features over the places of each class, [N, C, K] in float64; zeros for a class that is absent.

    Nothing of the features' size is made but their gradient.

    Args:
        features: [N, C, S].
        masks: [N, K, S].

    Example::

        >>> import torch
        >>> from monai_kd.losses.regions import class_prototypes
        >>> class_prototypes(torch.tensor([[[1.0, 3.0, 8.0]]]), torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]))
        tensor([[[2., 8.]]], dtype=torch.float64)
    """
    count = masks.sum(2, dtype=exact(masks[:0]).dtype).unsqueeze(1).clamp(min=1)
    if is_transformed():
        return exact(features) @ exact(masks).mT / count
    return _Totals.apply(features, masks) / count


class _Totals(torch.autograd.Function):
    """Sums in float64 over slices of places; the gradient is made in the precision of the features."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, masks: Tensor) -> Tensor:
        ctx.save_for_backward(masks)
        step = max(1, _CHUNK // max(features.shape[:2].numel(), 1))
        total = exact(features.new_zeros((*features.shape[:2], masks.shape[1])))
        for x, m in zip(features.split(step, 2), masks.split(step, 2), strict=True):
            total += exact(x) @ exact(m).mT
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (masks,) = ctx.saved_tensors
        return grads[0].to(masks.dtype) @ masks, None
