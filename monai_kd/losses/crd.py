# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.functional import full_precision
from monai_kd.utils import ShapeMismatchError

__all__ = ["CRDLoss", "contrast"]


def contrast(logits: Tensor, positives: int = 1) -> Tensor:
    """What it costs to tell positives, which are averaged, from negatives, summed over samples.

    Args:
        logits: [N, P + K], the positives first.
        positives: P.
    """
    return F.softplus(-logits[:, :positives]).sum() / positives + F.softplus(logits[:, positives:]).sum()


class CRDLoss(nn.Module):
    """Tell the pair of one sample from pairs of different samples, in both directions: contrastive distillation.

    .. math:: L = \\frac{1}{N} \\sum_n \\Bigl( -\\log h^{s}_{n0} - \\sum_{k=1}^{K} \\log (1 - h^{s}_{nk})
        - \\log h^{t}_{n0} - \\sum_{k=1}^{K} \\log (1 - h^{t}_{nk}) \\Bigr), \\qquad
        h = \\frac{e}{e + K / M} = \\sigma(a)

    with :math:`e = e^{g / \\tau} / Z` of the cosine g of two embeddings, M the number of training samples. The logits
    a, the positive first, come from a `MemoryBank` pass, which holds the embeddings of every sample. Gradient flows
    into both. In log space; time and memory O(N K).

    Tian et al., Contrastive representation distillation, ICLR 2020 (arXiv 1910.10699).

    Example::

        >>> import torch
        >>> from monai_kd.losses import CRDLoss
        >>> CRDLoss()(torch.zeros(2, 3), torch.zeros(2, 3))  # six coins a sample
        tensor(4.1589)
    """

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: logits of the student's embeddings against the teacher's bank, [N, 1 + K], the positive first.
            target: logits of the teacher's embeddings against the student's bank, the same shape.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, or are not [N, 1 + K].
        """
        if input.ndim != 2 or input.shape != target.shape:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
                where="CRDLoss",
                fix="both must be logits [N, 1 + K], as a `MemoryBank` gives them",
            )
        return (contrast(input) + contrast(target)) / max(input.shape[0], 1)
