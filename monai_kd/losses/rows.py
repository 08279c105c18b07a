# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import keep_selected, reduce_rows, reduce_total
from monai_kd.utils import ClassMismatchError, ShapeMismatchError

__all__ = ["class_index", "compare_rows", "log_softmax", "softmax"]


def compare_rows(
    rows: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    label: Tensor | None = None,
) -> Tensor:
    """Reduce a formula over rows (samples, pixels or voxels), computed in float64.

    Args:
        rows: `rows(s, t)` or `rows(s, t, y)` of logits [m, C, k] and classes [m, k], giving [m, k].
        input: the student's, [N, C, *spatial].
        target: the teacher's, [N, C', *spatial]; a constant.
        reduction: 'mean', 'sum' or 'none'.
        mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights.
        label: class of each row, [N, *spatial]; a row with -1 does not count.
    """
    target = target.detach()
    shape = (input.shape[0], *input.shape[2:])
    if label is not None:
        known = label >= 0
        mask = known if mask is None else mask.reshape(shape) * known
        label = label.clamp(min=0)
    input, target = keep_selected(mask, input, target)
    s, t = (x.reshape(*x.shape[:2], math.prod(shape[1:])) for x in (input, target))
    y = () if label is None else (label.reshape(s.shape[0], s.shape[2]),)
    if reduction == "none":
        exact = (x.double() if x.device.type != "mps" else x for x in (s, t))
        return reduce_rows(rows(*exact, *y).to(input.dtype).reshape(shape), "none", mask)
    weight = () if mask is None else (mask.detach().reshape(s.shape[0], s.shape[2]).to(s.dtype),)

    def weighted(s: Tensor, t: Tensor, *others: Tensor) -> Tensor:
        values = rows(s, t, *others[: len(y)])
        return values * others[-1] if weight else values

    return reduce_total(sum_in_chunks(weighted, [s], [t, *y, *weight], places=True), input, reduction, mask)


def softmax(rows: Tensor) -> Tensor:
    """Over the classes, axis 1; where samples have one place each, torch's own takes five times as long.

    Args:
        rows: logits [m, C, ...].
    """
    return rows.flatten(1).softmax(1).reshape(rows.shape) if _one_place(rows) else rows.softmax(1)


def log_softmax(rows: Tensor) -> Tensor:
    """The logarithm of `softmax`.

    Args:
        rows: logits [m, C, ...].
    """
    return rows.flatten(1).log_softmax(1).reshape(rows.shape) if _one_place(rows) else rows.log_softmax(1)


def _one_place(rows: Tensor) -> bool:
    return rows.ndim > 2 and math.prod(rows.shape[2:]) == 1


def class_index(label: Tensor, input: Tensor, *, where: str) -> Tensor:
    """Bring labels to one class a row, [N, *spatial].

    Args:
        label: class indices [N, *spatial] or [N, 1, *spatial] (-1: none), or one-hot [N, C, *spatial].
        input: logits [N, C, *spatial].
        where: name of the loss, for the message.

    Raises:
        ShapeMismatchError: it is none of the three.
        ClassMismatchError: it is one-hot of another number of classes.
    """
    n, c, *spatial = input.shape
    shape = tuple(label.shape)
    if shape == (n, *spatial):
        return label.detach().long()
    if len(shape) == input.ndim and shape[0] == n and shape[2:] == tuple(spatial):
        if shape[1] == 1:
            return label.detach().squeeze(1).long()
        if shape[1] == c:
            return label.detach().float().argmax(1)
        raise ClassMismatchError(f"label is one-hot of {shape[1]} classes, student has {c}", where=where)
    raise ShapeMismatchError(
        f"label is {shape}, student {tuple(input.shape)}",
        where=where,
        fix=f"give class indices {(n, *spatial)} or one-hot {tuple(input.shape)}",
    )
