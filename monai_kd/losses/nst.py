# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision
from monai_kd.losses.patterns import pattern_total
from monai_kd.losses.relations import inner_squares, unit
from monai_kd.utils import ShapeMismatchError

__all__ = ["NSTLoss"]


class NSTLoss(nn.Module):
    """Match the distribution of the channels' activation patterns: neuron selectivity transfer.

    .. math:: L = \\frac{1}{N} \\sum_n \\Bigl( \\frac{1}{C^2} \\sum_{ij} k(s_i, s_j)
        + \\frac{1}{C'^2} \\sum_{ij} k(t_i, t_j) - \\frac{2}{C C'} \\sum_{ij} k(s_i, t_j) \\Bigr), \\qquad
        k(x, y) = (x \\cdot y)^2

    with s and t the channels of a sample, each over its S places divided by its L2 norm: the squared maximum mean
    discrepancy with a polynomial kernel. By matrix products over the smaller of C and S. Time O(N C S min(C, S)); of
    memory the gradient alone, and one sample.

    Huang & Wang, Like what you like: knowledge distill via neuron selectivity transfer, 2017 (arXiv 1707.01219).

    Example::

        >>> import torch
        >>> from monai_kd.losses import NSTLoss
        >>> NSTLoss()(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [0.0, 3.0]]]))
        tensor(2.)
    """

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
        check_batch(input, target, where="NSTLoss", spatial=True)
        if input.shape[2:] != target.shape[2:]:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
                where="NSTLoss",
                fix="put a `Connector` that resizes between the student's tap and the loss",
            )
        s, t = input.flatten(2), target.flatten(2)
        if s.shape == t.shape and s.shape[1] <= s.shape[2]:
            return pattern_total(s, t, dim=2) / max(s.shape[0] * s.shape[1] ** 2, 1)
        return sum_in_chunks(_discrepancy, [s], [t]) / max(s.shape[0], 1)


def _discrepancy(s: Tensor, t: Tensor) -> Tensor:
    s, t, c, d = unit(s), unit(t), s.shape[1], t.shape[1]
    if s.shape[2] < min(c, d):  # [S, S] is smaller than [C, C]
        return (s.mT @ s / c - t.mT @ t / d).square().sum((1, 2))
    return inner_squares(s, s) / c**2 + inner_squares(t, t) / d**2 - 2 * inner_squares(s, t) / (c * d)
