# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact
from monai_kd.losses.geometry import angle_total, distances

__all__ = [
    "angle_total",
    "cosine_similarity_matrix",
    "distances",
    "inner_squares",
    "pairwise_distance",
    "pooled",
    "unit",
]


def pooled(features: Tensor) -> Tensor:
    """One vector a sample in float64: the mean over space, [N, C].

    Args:
        features: [N, C] or [N, C, *spatial].
    """
    if features.ndim == 2:
        return exact(features)
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return exact(features).flatten(2).mean(2)
    return _Mean.apply(features.flatten(2))


class _Mean(torch.autograd.Function):
    """The gradient is made in the precision of the features."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.like = x.shape, x.dtype
        return exact(x).mean(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        shape, dtype = ctx.like
        return (grads[0] / max(shape[2], 1)).to(dtype).unsqueeze(2).expand(shape)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Divide by the L2 norm along an axis; zeros stay zeros, without a gradient."""
    square = x.square().sum(dim, keepdim=True)
    empty = square == 0
    return x.masked_fill(empty, 0) / square.masked_fill(empty, 1).sqrt()


def cosine_similarity_matrix(x: Tensor) -> Tensor:
    """Cosine of the angle between every two rows, [N, N].

    Args:
        x: rows [N, D].

    Example::

        >>> import torch
        >>> from monai_kd.losses.relations import cosine_similarity_matrix
        >>> cosine_similarity_matrix(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor([[1., 0.],
                [0., 1.]])
    """
    x = unit(x)
    return x @ x.T


def pairwise_distance(x: Tensor) -> Tensor:
    """Euclidean distance of every two rows, [N, N]; equal rows have distance 0 and no gradient.

    Args:
        x: rows [N, D].

    Example::

        >>> import torch
        >>> from monai_kd.losses.relations import pairwise_distance
        >>> pairwise_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def inner_squares(a: Tensor, b: Tensor) -> Tensor:
    """The sum of squares of A B^T, by the smaller product: [m].

    Args:
        a: A, [m, P, S].
        b: B, [m, Q, S].
    """
    if min(a.shape[1], b.shape[1]) <= a.shape[2]:
        return (a @ b.mT).square().sum((1, 2))
    return ((a.mT @ a) * (b.mT @ b)).sum((1, 2))
