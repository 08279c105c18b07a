# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision, pool_to

__all__ = ["HCLLoss"]

_FEW = 1024  # places: of so few, one product with a matrix is faster than pooling level by level


class HCLLoss(nn.Module):
    """Pull maps toward the teacher's at several resolutions: the hierarchical context loss of ReviewKD.

    .. math:: L = \\frac{1}{\\sum_l w_l} \\sum_l w_l \\, \\mathrm{mean}\\bigl(
        \\mathrm{pool}_l(F_s) - \\mathrm{pool}_l(F_t)\\bigr)^2, \\qquad w = 1, \\tfrac12, \\tfrac14, \\tfrac18

    at the full size and averaged to 4, 2 and 1 places along each axis; a level that would not be smaller than the one
    before is left out, and its weight with it. Time and memory O(N C S).

    Chen et al., Distilling knowledge via knowledge review, CVPR 2021 (arXiv 2104.09044).

    Example::

        >>> import torch
        >>> from monai_kd.losses import HCLLoss
        >>> HCLLoss()(torch.tensor([[[1.0, -1.0]]]), torch.zeros(1, 1, 2))  # sizes 2 and 1, weights 1 and 1/2
        tensor(0.6667)
    """

    levels = (4, 2, 1)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: maps of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="HCLLoss", spatial=True)
        check_features(input, target, where="HCLLoss")
        n, c, *space = input.shape
        s, t = (x.reshape(n * c, 1, *space) for x in (input, target.to(input.dtype)))
        rows = self._rows
        if s.device.type == "cpu" and s.numel() and math.prod(space) <= _FEW:
            rows = partial(_rows_by_matrix, *self._pooling(s))
        return sum_in_chunks(rows, [s], [t], double=False) / max(n * c, 1)

    def _sizes(self, whole: Sequence[int]) -> list[tuple[int, ...]]:
        """Of the levels that are smaller than the one before."""
        sizes = [tuple(min(level, edge) for edge in whole) for level in self.levels]
        return [size for size, before in zip(sizes, [tuple(whole), *sizes], strict=False) if size != before]

    def _rows(self, s: Tensor, t: Tensor) -> Tensor:
        pooled = whole = s - t  # averaging and subtracting commute
        total, weight, weights = _mean_square(whole), 1.0, 1.0
        for size in self._sizes(whole.shape[2:]):
            edges = zip(whole.shape[2:], pooled.shape[2:], size, strict=True)
            nested = all(edge % a == 0 and a % b == 0 for edge, a, b in edges)
            pooled, weight = pool_to(pooled if nested else whole, size), weight / 2
            total = total + weight * _mean_square(pooled)
            weights += weight
        return total / weights

    def _pooling(self, like: Tensor) -> tuple[Tensor, float]:
        """All levels as one matrix [S, places], the root of a place's weight in it; and the sum of the weights."""
        space = like.shape[2:]
        ones = torch.eye(math.prod(space), dtype=like.dtype).reshape(-1, 1, *space)
        parts, weights = [ones.new_empty(len(ones), 0)], 1.0
        for i, size in enumerate(self._sizes(space), 1):
            pooled = pool_to(ones, size).flatten(1)
            parts.append(pooled * math.sqrt(0.5**i / pooled.shape[1]))
            weights += 0.5**i
        return torch.cat(parts, 1), weights


def _rows_by_matrix(pooling: Tensor, weights: float, s: Tensor, t: Tensor) -> Tensor:
    whole = (s - t).flatten(1)
    return (whole.square().mean(1) + (whole @ pooling).square().sum(1)) / weights


def _mean_square(x: Tensor) -> Tensor:
    """One number a row."""
    return x.square().flatten(1).mean(1)
