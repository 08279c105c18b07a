# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Distances and angles between samples, from the Gram matrix of centred rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses.closed_form import with_gradient

__all__ = ["angle_total", "distance_total", "distances"]

_CHUNK = 2**17
_SMALL = 2**15  # angles: of fewer, float64 costs nothing; of more, float32's errors average out


def distances(gram: Tensor) -> Tensor:
    """`pairwise_distance` from the Gram matrix of centred rows, in float64.

    Args:
        gram: [N, N].
    """
    square, same = _squared_distance(gram)
    return square.masked_fill(same, 1).sqrt().masked_fill(same, 0)


def distance_total(input: Tensor, target: Tensor) -> Tensor:
    """Sum of the Huber losses of the distances of all pairs, each network's over their mean.

    .. math:: \\sum_{ij} H\\Bigl(\\frac{d^s_{ij}}{\\mu_s} - \\frac{d^t_{ij}}{\\mu_t}\\Bigr)

    with :math:`\\mu` the mean of the distances above 0.

    Args:
        input: Gram matrix of the student's centred rows, [N, N], float64.
        target: of the teacher; a constant.
    """
    return with_gradient(_made_distances, _plain_distances, input, target)


def angle_total(input: Tensor, target: Tensor) -> Tensor:
    """Sum of the Huber losses of the cosines of all angles (i, j, k), from the Gram matrices of centred rows.

    .. math:: \\sum_{ijk} H(a^s_{ijk} - a^t_{ijk}), \\qquad
        a_{ijk} = \\frac{\\langle x_i - x_j, x_k - x_j \\rangle}{|x_i - x_j| |x_k - x_j|}
        = \\frac{G_{ik} - G_{ij} - G_{jk} + G_{jj}}{|x_i - x_j| |x_k - x_j|}

    An angle at which two samples coincide counts as cosine 0. The vectors [N, N, D] are never built and of [N, N, N]
    only a slice at a time.

    Args:
        input: Gram matrix of the student, [N, N], float64.
        target: of the teacher; a constant.
    """
    return with_gradient(_made_angles, _plain_angles, input, target)


def _squared_distance(g: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances, and where two samples are the same, up to rounding."""
    square = (g.diagonal().unsqueeze(1) + g.diagonal()).sub(g, alpha=2)
    return square, square <= 1e-12 * g.diagonal().mean()


def _inverse_distance(g: Tensor) -> Tensor:
    square, same = _squared_distance(g)
    return square.masked_fill(same, torch.inf).rsqrt()


def _over_mean(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distances over their mean, how many are above 0, and the mean."""
    count = (d > 0).sum().clamp(min=1)
    mean = (d.sum() / count).clamp(min=1e-30)
    return d / mean, count, mean


def _plain_distances(s: Tensor, t: Tensor) -> Tensor:
    return F.smooth_l1_loss(_over_mean(distances(s))[0], _over_mean(distances(t))[0], reduction="sum")


def _made_distances(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    square, same = _squared_distance(s)
    inverse = square.masked_fill_(same, torch.inf).rsqrt()
    d_s, count, mean = _over_mean(square.masked_fill_(same, 0).mul_(inverse))
    d_t = _over_mean(distances(t))[0]
    total = F.smooth_l1_loss(d_s, d_t, reduction="sum")
    slope = d_t.neg_().add_(d_s).clamp_(-1, 1)  # H', by d / mean
    by_mean = torch.dot(slope.flatten(), d_s.flatten()) / count
    by_square = slope.sub_(by_mean).mul_(inverse).div_(2 * mean)
    gradient = -2 * by_square
    gradient.diagonal().add_(by_square.sum(0) + by_square.sum(1))
    return total, gradient


def _angles(g: Tensor, j: slice) -> Tensor:
    """Cosines of the angles at the samples `j`, [len(j), N, N]."""
    r = _inverse_distance(g)[j]
    at, corner = g[j], g.diagonal()[j, None, None]
    return (g - at.unsqueeze(1) - at.unsqueeze(2) + corner) * r.unsqueeze(1) * r.unsqueeze(2)


def _plain_angles(s: Tensor, t: Tensor) -> Tensor:
    a_s, a_t = (_angles(g, slice(None)) for g in (s, t))
    return F.smooth_l1_loss(a_s, a_t, reduction="sum")


def _made_angles(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """With :math:`a_{ijk} = r_{ij} r_{jk} G_{ik} + u_{ij} r_{jk} + r_{ij} u_{jk}`, r = 1 / d, u_ij = r_ij (G_jj / 2 - G_ij)."""
    n = len(s)
    r, r_t = _inverse_distance(s), _inverse_distance(t)
    dtype = torch.float64 if n**3 <= _SMALL else torch.float32
    u, u_t = ((g.diagonal().unsqueeze(1) / 2 - g) * w for g, w in ((s, r), (t, r_t)))
    g_s, g_t, w_s, w_t, v_s, v_t = (x.to(dtype) for x in (s, t, r, r_t, u, u_t))
    total, gradient = s.new_zeros(()), torch.zeros_like(s)
    step = max(1, _CHUNK // max(n * n, 1))
    for k in range(0, n, step):
        j = slice(k, k + step)
        both = w_s[j].unsqueeze(2) * w_s[j].unsqueeze(1)
        a = _cosines(g_s, both, w_s[j], v_s[j])
        b = _cosines(g_t, w_t[j].unsqueeze(2) * w_t[j].unsqueeze(1), w_t[j], v_t[j])
        total += F.smooth_l1_loss(a, b, reduction="sum")
        slope = b.neg_().add_(a).clamp_(-1, 1)
        turned = a.mul_(slope).sum(2)  # by the lengths
        slope.mul_(both)
        rows = slope.sum(2).double()
        gradient += slope.sum(0)
        by_square = turned * r[j].square()
        gradient[j] += 2 * (by_square - rows)
        gradient.diagonal()[j] += rows.sum(1) - by_square.sum(1)
        gradient.diagonal().sub_(by_square.sum(0))
    return total, gradient


def _cosines(g: Tensor, both: Tensor, r: Tensor, u: Tensor) -> Tensor:
    left, right = torch.stack([u, r], 2), torch.stack([r, u], 1)
    return torch.baddbmm(both * g, left, right)
