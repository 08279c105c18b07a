# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.utils import to_float

__all__ = [
    "absolute_power",
    "attention_map",
    "divisor",
    "full_precision",
    "gram",
    "keep_selected",
    "mean_square",
    "pool_to",
    "reduce_rows",
    "reduce_total",
    "resize_map",
    "to_float",
    "unit_difference",
    "unit_rows",
]

P = ParamSpec("P")


def full_precision(forward: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorate a loss's `forward`: autocast is off inside, and tensors in half precision arrive as float32.

    Example::

        >>> import torch
        >>> from monai_kd.losses.functional import full_precision
        >>> @full_precision
        ... def energy(x):
        ...     return (x @ x.T).sum()
        >>> energy(torch.full((1, 4), 6e4, dtype=torch.float16))  # would be inf
        tensor(1.4400e+10)
    """

    @wraps(forward)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            return forward(*map(to_float, args), **{name: to_float(x) for name, x in kwargs.items()})

    return wrapped


def keep_selected(mask: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Put 0 where the mask does, so that nothing there, infinite or not a number, reaches value or gradient.

    Args:
        mask: boolean or weights, [N, *spatial] or [N, 1, *spatial]; None keeps everything.
        tensors: [N, C, *spatial].
    """
    if mask is None:
        return tensors
    keep = (mask if mask.ndim == tensors[0].ndim else mask.unsqueeze(1)) != 0
    return tuple(torch.where(keep, x, torch.zeros((), dtype=x.dtype, device=x.device)) for x in tensors)


def reduce_rows(rows: Tensor, reduction: str = "mean", mask: Tensor | None = None) -> Tensor:
    """Reduce one value a row (sample, pixel or voxel) to a scalar.

    .. math:: \\frac{\\sum_i m_i x_i}{\\sum_i m_i}

    A mean over nothing is 0, connected to the graph; the mask never makes a shape depend on data.

    Args:
        rows: x, [N, *spatial].
        reduction: 'mean', 'sum' (without the denominator) or 'none' (m x).
        mask: m, boolean or weights, [N, *spatial] or [N, 1, *spatial]; no gradient flows into it.
    """
    if mask is None:
        total = rows.new_full((), max(rows.numel(), 1))
    else:
        weight = mask.detach().reshape(rows.shape).to(rows.dtype)
        rows, total = rows * weight, weight.sum()
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.sum() / divisor(total)


def reduce_total(total: Tensor, input: Tensor, reduction: str, mask: Tensor | None = None) -> Tensor:
    """As `reduce_rows` to a scalar, where the (weighted) sum over rows is known already.

    Args:
        total: the sum.
        input: [N, C, *spatial], whose rows they are.
        reduction: 'mean' or 'sum'.
        mask: as in `reduce_rows`.
    """
    if reduction == "sum":
        return total
    if mask is None:
        return total / max(input.numel() // max(input.shape[1], 1), 1)
    return total / divisor(mask.detach().to(total.dtype).sum())


def mean_square(input: Tensor, target: Tensor, reduction: str = "mean", mask: Tensor | None = None) -> Tensor:
    """Reduce the mean over channels of the squared difference of each row.

    Args:
        input: the student's, [N, C, *spatial].
        target: the teacher's, the same shape; a constant.
        reduction: 'mean', 'sum' or 'none'.
        mask: as in `reduce_rows`.
    """
    if mask is None and reduction != "none":
        total = F.mse_loss(input, target.detach(), reduction="sum") / max(input.shape[1], 1)
        return reduce_total(total, input, reduction)
    input, target = keep_selected(mask, input, target.detach())
    return reduce_rows((input - target).square().mean(1), reduction, mask)


def gram(x: Tensor) -> Tensor:
    """How alike the samples of a batch are, G = X X^T, [N, N].

    Args:
        x: features [N, ...]; X is [N, D].
    """
    x = x.flatten(1)
    return x @ x.T


def unit_rows(x: Tensor) -> Tensor:
    """Divide each row by its L2 norm, of whatever scale; a row of zeros stays one, with a finite gradient.

    Args:
        x: [..., D].
    """
    x = x / divisor(x.detach().abs().amax(-1, keepdim=True))  # so that no square overflows or vanishes
    return x / divisor(torch.linalg.vector_norm(x, dim=-1, keepdim=True))


def unit_difference(input: Tensor, target: Tensor, change: Tensor | None = None) -> Tensor:
    """`unit_rows(input) - unit_rows(target)`, exact to the last digits also where the two are near.

    .. math:: \\frac{a}{|a|} - \\frac{b}{|b|} = \\frac{1}{|a|} \\Bigl(d - \\frac{b}{|b|} (|a| - |b|)\\Bigr), \\qquad
        |a| - |b| = \\frac{(a + b) \\cdot d}{|a| + |b|}, \\quad d = a - b

    Args:
        input: a, rows [..., D].
        target: b, rows [..., D].
        change: the value of d, where it is known better than by subtraction; its gradient is that of a - b.
    """
    far = unit_rows(input) - unit_rows(target)
    change = input - target if change is None else change.detach() + (input - input.detach())
    scale = divisor(torch.maximum(input.abs(), target.abs()).detach().amax(-1, keepdim=True))
    a, b, d = input / scale, target / scale, change / scale
    size_a, size_b, size_d = (torch.linalg.vector_norm(x, dim=-1, keepdim=True) for x in (a, b, d))
    longer = ((a + b) * d).sum(-1, keepdim=True) / divisor(size_a + size_b)
    near = (d - b / divisor(size_b) * longer) / divisor(size_a)
    return torch.where(size_d <= size_b / 2, near, far)


def attention_map(features: Tensor, p: float = 2.0) -> Tensor:
    """Where a layer looks: the mean over its channels of the activations' p-th power, [N, *spatial].

    .. math:: a_x = \\frac{1}{C} \\sum_c |F_{cx}|^p

    Args:
        features: F, [N, C, *spatial].
        p: the power; larger looks at fewer places.

    Example::

        >>> import torch
        >>> from monai_kd.losses.functional import attention_map
        >>> attention_map(torch.tensor([[[1.0, -2.0], [3.0, 0.0]]]))
        tensor([[5., 2.]])
    """
    return absolute_power(features, p).mean(1)


def absolute_power(x: Tensor, p: float) -> Tensor:
    """:math:`|x|^p`, quickly where p is 1 or 2."""
    return x.abs() if p == 1 else x.square() if p == 2 else x.abs().pow(p)


def pool_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps [N, C, *spatial] to `size` by adaptive average pooling, axis by axis, in 1-D, 2-D and 3-D.

    Args:
        x: the maps.
        size: the new spatial size.
    """
    if tuple(x.shape[2:]) == tuple(size):
        return x
    pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[len(size) - 1]
    if x.shape[0] == 0:  # which torch's pooling refuses
        return x.new_zeros((*x.shape[:2], *size)) + x.sum()
    return pool(x, tuple(size))


def resize_map(x: Tensor, size: Sequence[int]) -> Tensor:
    """`pool_to` of a map without channels, [N, *spatial].

    Args:
        x: the map.
        size: the new spatial size.
    """
    if tuple(x.shape[1:]) == tuple(size):
        return x
    return pool_to(x.unsqueeze(1), size).squeeze(1)


def divisor(x: Tensor) -> Tensor:
    """`x`, with 1 where it is 0, to divide by."""
    return torch.where(x == 0, torch.ones_like(x), x)
