# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from monai_kd.networks.connector import AVERAGE_POOL, LINEAR

__all__ = ["resize"]


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a map to a spatial size, axis by axis: average over bins where it shrinks, interpolate where it grows.

    Args:
        x: the map, [N, C, *spatial].
        size: the new spatial size.

    Returns:
        [N, C, *size].
    """
    axes = x.ndim - 2
    shrunk = tuple(min(old, new) for old, new in zip(x.shape[2:], size, strict=True))
    if shrunk != x.shape[2:]:
        x = AVERAGE_POOL[axes](x, shrunk)
    return x if shrunk == tuple(size) else F.interpolate(x, tuple(size), mode=LINEAR[axes].value, align_corners=False)
