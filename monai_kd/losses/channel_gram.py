# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import grams

__all__ = ["ChannelGramLoss"]


class ChannelGramLoss(nn.Module):
    """Keep how the channels of a layer go together as the teacher has it.

    .. math:: L = \\sqrt{\\frac{1}{N C^2} \\sum_n \\| A^s_n - A^t_n \\|_F^2}, \\qquad A = \\frac{F F^T}{C S}

    with F the map of a sample, [C, S]. C x C is built only where C is at most S, else S x S, in float64. At the teacher
    the root has no slope: value and gradient are 0. Time O(N C S min(C, S)); of memory the gradient alone, and one
    sample.

    Wang et al., SSD-KD: a self-supervised diverse knowledge distillation method for lightweight skin lesion
    classification, MedIA 2023 (arXiv 2203.11490).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ChannelGramLoss
        >>> ChannelGramLoss()(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.zeros(1, 2, 2))
        tensor(0.1768)
    """

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
        check_batch(input, target, where="ChannelGramLoss", spatial=True)
        check_features(input, target, where="ChannelGramLoss")
        n, c = input.shape[:2]
        s, t = input.flatten(2), target.flatten(2)
        size = s.shape[2]
        if c > size:
            total = sum_in_chunks(_apart, [s], [t])
        else:
            total = torch.sub(*grams(s, t)).square().sum().to(s.dtype)
        square = total / max(n * c**2 * (c * size) ** 2, 1)
        same = square <= 0  # below 0 by rounding alone
        return square.masked_fill(same, 1).sqrt().masked_fill(same, 0)


def _apart(s: Tensor, t: Tensor) -> Tensor:
    """Squared distance of the Gram matrices: with D = s - t and M = s + t, it is that of (D M' + M D') / 2."""
    d, m = s - t, s + t
    across = d.mT @ m
    return (((d.mT @ d) * (m.mT @ m)).sum((1, 2)) + (across * across.mT).sum((1, 2))) / 2
