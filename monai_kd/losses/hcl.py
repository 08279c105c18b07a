# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision, pool_to

__all__ = ["HCLLoss"]


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
        s, t = (x.reshape(n * c, 1, *space) for x in (input, target))
        return sum_in_chunks(self._rows, [s], [t], double=False) / max(n * c, 1)

    def _rows(self, s: Tensor, t: Tensor) -> Tensor:
        pooled = s - t  # averaging and subtracting commute
        total, weight, weights, size = _mean_square(pooled), 1.0, 1.0, tuple(s.shape[2:])
        whole = pooled
        for level in self.levels:
            smaller = tuple(min(level, edge) for edge in s.shape[2:])
            if smaller != size:
                nested = all(
                    edge % a == 0 and a % b == 0 for edge, a, b in zip(s.shape[2:], size, smaller, strict=True)
                )
                pooled, weight, size = pool_to(pooled if nested else whole, smaller), weight / 2, smaller
                total = total + weight * _mean_square(pooled)
                weights += weight
        return total / weights


def _mean_square(x: Tensor) -> Tensor:
    """One number a row."""
    return x.square().flatten(1).mean(1)
