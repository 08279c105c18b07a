# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

__all__ = ["connected_zero", "plain", "to_device", "to_float"]


def plain(value: Any) -> Any:
    """Strip the metadata off a `MetaTensor`; anything else passes through."""
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def to_device(value: Any, device: torch.device | str | None, non_blocking: bool = False, **kwargs: Any) -> Any:
    """Move the tensors of a batch to `device`, as plain tensors; what is not a tensor passes through.

    Args:
        value: a tensor, or mappings, lists and tuples of them.
        device: where to; None leaves them.
        non_blocking: as in `torch.Tensor.to`.
        kwargs: further arguments of `torch.Tensor.to`.
    """
    if isinstance(value, Tensor):
        return plain(value).to(device=device, non_blocking=non_blocking, **kwargs)
    if isinstance(value, Mapping):
        return {str(key): to_device(item, device, non_blocking, **kwargs) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_device(item, device, non_blocking, **kwargs) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def to_float(value: Any) -> Any:
    """Bring half precision to float32 and strip metadata; float64, integers and what is no tensor pass through."""
    value = plain(value)
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def connected_zero(*tensors: Tensor) -> Tensor:
    """A scalar 0 whose gradient with respect to each tensor is 0, even where the tensors hold inf or NaN.

    Args:
        tensors: what to stay connected to; those that need no gradient only lend dtype and device.

    Example::

        >>> import torch
        >>> from monai_kd.utils import connected_zero
        >>> x = torch.tensor([float("inf")], requires_grad=True)
        >>> connected_zero(x).backward(); x.grad
        tensor([0.])
    """
    return sum((t[:0].sum() if t.ndim else t.reshape(1)[:0].sum() for t in tensors), start=tensors[0].new_zeros(()))
