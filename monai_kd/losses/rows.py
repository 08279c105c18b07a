# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from monai_kd.losses.checks import check_index
from monai_kd.losses.chunked import exact, sum_in_chunks
from monai_kd.losses.functional import keep_selected, reduce_rows, reduce_total
from monai_kd.utils import ClassMismatchError, ShapeMismatchError

__all__ = ["class_index", "compare_rows", "log_softmax", "one_hot_index", "softmax"]


def compare_rows(
    rows: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    label: Tensor | None = None,
    shared: Sequence[Tensor] = (),
) -> Tensor:
    """Reduce a formula over rows (samples, pixels or voxels), computed in float64.

    Args:
        rows: `rows(s, t, *shared)` or `rows(s, t, y, *shared)` of logits [m, C, k] and classes [m, k], giving [m, k].
        input: the student's, [N, C, *spatial].
        target: the teacher's, [N, C', *spatial]; a constant.
        reduction: 'mean', 'sum' or 'none'.
        mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights.
        label: class of each row, [N, *spatial]; a row with a negative one does not count.
        shared: what all rows of a sample have in common and gets a gradient, too, [N, ...].
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
        return reduce_rows(
            rows(exact(s), exact(t), *y, *map(exact, shared)).to(input.dtype).reshape(shape), "none", mask
        )
    weight = () if mask is None else (mask.detach().reshape(s.shape[0], s.shape[2]).to(s.dtype),)
    a, b = len(y), len(y) + len(weight)

    def weighted(s: Tensor, t: Tensor, *others: Tensor) -> Tensor:
        labels, weights, common = others[:a], others[a:b], others[b:]
        values = rows(s, t, *labels, *common)
        return values * weights[0] if weights else values

    total = sum_in_chunks(weighted, [s], [t, *y, *weight], places=True, shared=shared)
    return reduce_total(total, input, reduction, mask)


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
        label: class indices [N, *spatial] or [N, 1, *spatial] (negative: none), or one-hot [N, C, *spatial] (all zero:
            none).
        input: logits [N, C, *spatial].
        where: name of the loss, for the message.

    Raises:
        ShapeMismatchError: it is none of the three.
        ClassMismatchError: it is one-hot of another number of classes, or (seen on a CPU) an index is too large or no
            whole number, or a row has two classes.
    """
    n, c, *spatial = input.shape
    shape = tuple(label.shape)
    one_column = len(shape) == input.ndim and shape[0] == n and shape[2:] == tuple(spatial)
    if shape == (n, *spatial) or (one_column and shape[1] == 1):
        index = label.detach().reshape(n, *spatial)
        check_index(index, c, where=where)
        return index.long()
    if one_column:
        if shape[1] == c:
            return one_hot_index(label, where=where).squeeze(1)
        raise ClassMismatchError(f"label is one-hot of {shape[1]} classes, student has {c}", where=where)
    raise ShapeMismatchError(
        f"label is {shape}, student {tuple(input.shape)}",
        where=where,
        fix=f"give class indices {(n, *spatial)} or one-hot {tuple(input.shape)}",
    )


def one_hot_index(label: Tensor, *, where: str) -> Tensor:
    """The class of each place, [N, 1, *spatial]; -1, no class, where all are 0.

    Args:
        label: one-hot, [N, C, *spatial].
        where: name of the loss, for the message.

    Raises:
        ClassMismatchError: classes overlap (seen on a CPU): their sum is above 1 somewhere.

    Example::

        >>> import torch
        >>> from monai_kd.losses.rows import one_hot_index
        >>> one_hot_index(torch.tensor([[[0, 1, 0], [1, 0, 0]]]), where="loss")
        tensor([[[ 1,  0, -1]]])
    """
    label = label.detach().float()
    if label.device.type == "cpu" and not torch.compiler.is_compiling() and label.numel():
        if not (most := float(label.sum(1).max())) <= 1.01:  # soft labels sum to 1 but for rounding; nor is it nan
            raise ClassMismatchError(
                f"label is one-hot, and the classes of a place sum to {most:g}: they overlap",
                where=where,
                fix="give one class a place, as `label.argmax(1)` chooses it",
            )
    highest, index = label.max(1, keepdim=True)
    return index.masked_fill(highest <= 0, -1)
