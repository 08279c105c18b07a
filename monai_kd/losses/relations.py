# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact, is_transformed

__all__ = [
    "angle_total",
    "angle_total_and_gradient",
    "cosine_similarity_matrix",
    "distance_total",
    "distance_total_and_gradient",
    "distances",
    "inner_squares",
    "pairwise_distance",
    "pooled",
    "unit",
    "well_apart",
]

_CHUNK = 2**18  # angles, or entries of the features, at a time
_CLOSE = 2**-7  # a square of a distance, by the sum of the squares of the two rows
_SMALL = 2**15  # angles: of fewer, float64 costs nothing; of more, float32's errors average out


def pooled(features: Tensor) -> Tensor:
    """One vector a sample, [N, C]: the mean over space, in float64 where there is any.

    Args:
        features: [N, C] or [N, C, *spatial].
    """
    if features.ndim == 2:
        return features
    if is_transformed():
        return exact(features).flatten(2).mean(2)
    return _Mean.apply(features.flatten(2))


class _Mean(torch.autograd.Function):
    """The gradient is made in the precision of the features."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.like = x.shape, x.dtype
        samples = max(1, _CHUNK // max(x[:1].numel(), 1)) if x.device.type == "cpu" else max(len(x), 1)
        return torch.cat([exact(part).mean(2) for part in x.split(samples)])

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
    """Cosine of the angle between every two rows, [..., N, N]; 0 where a row is all zeros.

    Args:
        x: rows [..., N, D].

    Example::

        >>> import torch
        >>> from monai_kd.losses.relations import cosine_similarity_matrix
        >>> cosine_similarity_matrix(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor([[1., 0.],
                [0., 1.]])
    """
    x = unit(x)
    return x @ x.mT


def pairwise_distance(x: Tensor) -> Tensor:
    """Euclidean distance of every two rows, [..., N, N]; equal rows have distance 0 and no gradient.

    Args:
        x: rows [..., N, D].

    Example::

        >>> import torch
        >>> from monai_kd.losses.relations import pairwise_distance
        >>> pairwise_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def distances(gram: Tensor) -> Tensor:
    """`pairwise_distance` from the Gram matrix of the rows, in float64.

    Args:
        gram: [N, N].
    """
    square = gram.diagonal().unsqueeze(1) + gram.diagonal() - 2 * gram
    same = square <= 1e-12 * gram.diagonal().mean()  # up to rounding
    return square.masked_fill(same, 1).sqrt().masked_fill(same, 0)


def well_apart(gram: Tensor) -> bool:
    """Whether the distances of all rows may be taken from products in single precision: 5 of its 7 digits are left.

    Args:
        gram: [N, N]; on a CPU, for the answer is waited for.
    """
    square = gram.diagonal()
    if not len(gram) or square.amin() < 1e-30 or not square.amax() < 1e30:  # products that vanished or are infinite
        return False
    half = square * (0.5 - _CLOSE / 2)
    return int((gram > half.unsqueeze(1) + half).sum()) <= len(gram)  # that is, on the diagonal alone


def inner_squares(a: Tensor, b: Tensor) -> Tensor:
    """The sum of squares of A B^T, by the smaller product: [m].

    Args:
        a: A, [m, P, S].
        b: B, [m, Q, S].
    """
    if min(a.shape[1], b.shape[1]) <= a.shape[2]:
        return (a @ b.mT).square().sum((1, 2))
    return ((a.mT @ a) * (b.mT @ b)).sum((1, 2))


def distance_total(input: Tensor, target: Tensor) -> Tensor:
    """Sum of the Huber losses of all distances, each by the mean of those above 0, from the Gram matrices.

    Args:
        input: Gram matrix of the student's rows, [N, N], float64.
        target: of the teacher's; a constant.
    """
    d_s, d_t = (d / _mean_above_0(d) for d in (distances(input), distances(target)))
    return _huber(d_s - d_t).sum()


def distance_total_and_gradient(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`distance_total` and its gradient with respect to the student's Gram matrix, [N, N], without a graph."""
    d_s, d_t = distances(input), distances(target)
    mean = _mean_above_0(d_s)
    scaled = d_s / mean
    difference = scaled - d_t.div_(_mean_above_0(d_t))
    slope = difference.clamp(-1, 1)
    total = difference.sub_(slope, alpha=0.5).mul_(slope).sum()  # H(x) = x^2 / 2, or |x| - 1 / 2
    slope -= (slope * scaled).sum() / (d_s > 0).sum().clamp(min=1)  # by the mean
    gradient = slope.div_(d_s.masked_fill_(d_s == 0, torch.inf)).div_(-mean)  # twice that by the squares
    gradient.diagonal().sub_((gradient.sum(0) + gradient.sum(1)) / 2)
    return total, gradient


def angle_total(input: Tensor, target: Tensor) -> Tensor:
    """Sum of the Huber losses of the cosines of all angles (i, j, k), from the Gram matrices.

    .. math:: \\sum_{ijk} H(a^s_{ijk} - a^t_{ijk}), \\qquad
        a_{ijk} = \\frac{\\langle x_i - x_j, x_k - x_j \\rangle}{|x_i - x_j| |x_k - x_j|}
        = \\frac{G_{ik} - G_{ij} - G_{jk} + G_{jj}}{|x_i - x_j| |x_k - x_j|}

    An angle at which two samples coincide counts as cosine 0. The vectors [N, N, D] are never built.

    Args:
        input: Gram matrix of the student's rows, [N, N], float64.
        target: of the teacher's; a constant.
    """
    return _huber(_angles(input) - _angles(target)).sum()


def angle_total_and_gradient(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`angle_total` and its gradient with respect to the student's Gram matrix, [N, N], without a graph.

    Of [N, N, N] only a slice at a time is built.
    """
    n = len(input)
    r_s, r_t = _inverse_distance(input), _inverse_distance(target)
    dtype = torch.float64 if n**3 <= _SMALL else torch.float32
    s, t, w_s, w_t = (x.to(dtype) for x in (input, target, r_s, r_t))
    h_s, h_t = (g - g.diagonal().unsqueeze(1) / 2 for g in (s, t))  # of j and i: half of the corner each
    total, gradient = input.new_zeros(()), torch.zeros_like(input)
    turned, rows = input.new_empty((2, n, n))  # short sums, whose sums are of float64
    step = max(1, _CHUNK // max(n * n, 1))
    for k in range(0, n, step):
        j = slice(k, k + step)
        lengths = w_s[j].unsqueeze(1) * w_s[j].unsqueeze(2)
        a = (s - h_s[j].unsqueeze(1)).sub_(h_s[j].unsqueeze(2)).mul_(lengths)
        b = (t - h_t[j].unsqueeze(1)).sub_(h_t[j].unsqueeze(2)).mul_(w_t[j].unsqueeze(2))
        difference = torch.addcmul(a, b, w_t[j].unsqueeze(1), value=-1, out=b)
        slope = difference.clamp(-1, 1)
        turned[j] = a.mul_(slope).sum(2)
        difference.sub_(slope, alpha=0.5).mul_(slope)
        total += difference.sum((1, 2)).sum(dtype=torch.float64)
        slope.mul_(lengths)
        rows[j] = slope.sum(2)
        gradient += slope.sum(0)
    turned *= r_s.square()  # by the lengths
    gradient += 2 * (turned - rows)
    gradient.diagonal().add_(rows.sum(1) - turned.sum(1) - turned.sum(0))
    return total, gradient


def _mean_above_0(d: Tensor) -> Tensor:
    return (d.sum() / (d > 0).sum().clamp(min=1)).clamp(min=1e-30)


def _inverse_distance(g: Tensor) -> Tensor:
    d = distances(g)  # torch 2.13's inductor gets the gradient of rsqrt wrong beside the other term
    return d.masked_fill(d == 0, torch.inf).reciprocal()


def _angles(g: Tensor) -> Tensor:
    """Cosines of the angles at every sample j, [N, N, N] as (j, i, k)."""
    r, corner = _inverse_distance(g), g.diagonal().unsqueeze(1).unsqueeze(2)
    return (g - g.unsqueeze(1) - g.unsqueeze(2) + corner) * r.unsqueeze(1) * r.unsqueeze(2)


def _huber(x: Tensor) -> Tensor:
    return torch.nn.functional.smooth_l1_loss(x, torch.zeros_like(x), reduction="none")
