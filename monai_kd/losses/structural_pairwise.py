# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision, pool_to
from monai_kd.losses.patterns import pattern_total
from monai_kd.losses.relations import inner_squares, unit
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["StructuralPairwiseLoss"]


class StructuralPairwiseLoss(nn.Module):
    """Keep how alike every two places of a map are as the teacher has it: the pairwise part of structured distillation.

    .. math:: L = \\frac{1}{N S^2} \\sum_n \\sum_{xy} (A^s_{xy} - A^t_{xy})^2, \\qquad A_{xy} = \\cos(F_x, F_y)

    over the S places of a map averaged over blocks of `pool` places along each axis. Widths may differ. The S x S
    matrices are never built where a map has fewer channels than places, so `pool` = 1 is possible on volumes. Time
    O(N C^2 S); of memory the gradient alone.

    Args:
        pool: edge of a block.

    Raises:
        ConfigError: pool is below 1.

    Liu et al., Structured knowledge distillation for semantic segmentation, CVPR 2019 (arXiv 1903.04197).

    Example::

        >>> import torch
        >>> from monai_kd.losses import StructuralPairwiseLoss
        >>> apart, alike = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 3, 2)
        >>> StructuralPairwiseLoss(pool=1)(apart, alike)
        tensor(0.5000)
    """

    def __init__(self, pool: int = 2) -> None:
        super().__init__()
        if pool < 1:
            raise ConfigError(f"pool must be at least 1, got {pool!r}")
        self.pool = int(pool)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: maps of the teacher, [N, C', *spatial] of the same size; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the samples or the spatial sizes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="StructuralPairwiseLoss", spatial=True)
        if input.shape[2:] != target.shape[2:]:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
                where="StructuralPairwiseLoss",
                fix="put a `Connector` that resizes between the student's tap and the loss",
            )
        size = [max(1, edge // self.pool) for edge in input.shape[2:]]
        s, t = (pool_to(x, size).flatten(2) for x in (input, target))
        few = s.shape == t.shape and s.shape[1] <= s.shape[2]
        total = pattern_total(s, t, dim=1) if few else sum_in_chunks(_apart, [s], [t])
        return total / max(s.shape[0] * s.shape[2] ** 2, 1)


def _apart(s: Tensor, t: Tensor) -> Tensor:
    s, t = unit(s, 1), unit(t, 1)
    if s.shape[2] <= min(s.shape[1], t.shape[1]):  # [S, S] is no larger than [C, C]
        return (s.mT @ s - t.mT @ t).square().sum((1, 2))
    return inner_squares(s, s) + inner_squares(t, t) - 2 * inner_squares(s, t)
