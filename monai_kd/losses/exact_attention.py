# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact, is_transformed
from monai_kd.losses.functional import absolute_power

__all__ = ["exact_attention_map"]

_CHUNK = 2**18  # entries


def exact_attention_map(features: Tensor, p: float = 2.0) -> Tensor:
    """`attention_map` in float64, chunk by chunk: nothing of the size of the features is made but their gradient.

    Args:
        features: F, [N, C, *spatial].
        p: the power, at least 1.

    Returns:
        [N, S] with the places in a row.
    """
    features = features.flatten(2)
    if is_transformed():
        return absolute_power(exact(features), p).mean(1)
    return _Map.apply(features, p)


def _cuts(shape: torch.Size) -> Iterator[tuple[slice, slice]]:
    n, c, s = shape
    samples = max(1, _CHUNK // max(c * s, 1))
    width = max(1, s if samples > 1 else _CHUNK // max(c, 1))
    for i in range(0, n, samples):
        for j in range(0, s, width):
            yield slice(i, i + samples), slice(j, j + width)


class _Map(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(features)
        ctx.p = p
        places = exact(features.new_empty((features.shape[0], features.shape[2])))
        for i, j in _cuts(features.shape):
            places[i, j] = absolute_power(exact(features[i, :, j]), p).mean(1)
        return places

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (features,), p = ctx.saved_tensors, ctx.p
        if torch.is_grad_enabled():  # a second derivative is wanted
            plain = absolute_power(exact(features), p).mean(1)
            return torch.autograd.grad(plain, features, grads[0], create_graph=True)[0], None
        gradient = torch.empty_like(features, memory_format=torch.contiguous_format)
        slope = (grads[0] * (p / features.shape[1])).unsqueeze(1).to(features.dtype)
        for i, j in _cuts(features.shape):
            x = features[i, :, j]
            x = x if p == 2 else x.abs().pow(p - 1) * x.sign()
            torch.mul(x, slope[i, :, j], out=gradient[i, :, j])
        return gradient, None
