# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai.utils import InterpolateMode
from torch import Tensor
from torch.nn import functional as F

__all__ = ["grow", "resize", "shrink"]

AVERAGE_POOL: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
LINEAR = {1: InterpolateMode.LINEAR, 2: InterpolateMode.BILINEAR, 3: InterpolateMode.TRILINEAR}


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a map to a spatial size, axis by axis: average over bins where it shrinks, interpolate where it grows.

    Args:
        x: the map, [N, C, *spatial].
        size: the new spatial size.

    Returns:
        [N, C, *size].
    """
    return grow(shrink(x, size), size)


def shrink(x: Tensor, size: Sequence[int]) -> Tensor:
    """The axes of `resize` that become smaller."""
    smaller = tuple(min(old, new) for old, new in zip(x.shape[2:], size, strict=True))
    return x if smaller == x.shape[2:] else AVERAGE_POOL[x.ndim - 2](x, smaller)


def grow(x: Tensor, size: Sequence[int]) -> Tensor:
    """The axes of `resize` that become larger."""
    if tuple(size) == x.shape[2:]:
        return x
    return F.interpolate(x, tuple(size), mode=LINEAR[x.ndim - 2].value, align_corners=False)
