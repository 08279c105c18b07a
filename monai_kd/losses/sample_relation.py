# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import grams
from monai_kd.losses.relations import unit

__all__ = ["SampleRelationLoss"]


class SampleRelationLoss(nn.Module):
    """Keep how the samples of a batch relate to one another as the teacher sees it.

    .. math:: L = \\frac{1}{N} \\| R_s - R_t \\|_F^2, \\qquad R_i = G_i / \\|G_i\\|_2, \\quad G = F F^T

    with F the features of the N samples, one flattened sample a row; widths and sizes of student and teacher may
    differ. Under `torch.distributed` a `Term` gathers the rows of every process. A single sample relates to nobody:
    the loss is 0. Time O(N^2 D); of memory the gradient alone.

    Liu et al., Semi-supervised medical image classification with relation-driven self-ensembling model, TMI 2020
    (arXiv 2005.07377).

    Example::

        >>> import torch
        >>> from monai_kd.losses import SampleRelationLoss
        >>> SampleRelationLoss()(torch.eye(2), torch.ones(2, 3))  # apart for the student, alike for the teacher
        tensor(0.5858)
    """

    relational = True

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            target: features of the teacher for the same samples, [N, ...]; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples differ.
        """
        check_batch(input, target, where="SampleRelationLoss")
        s, t = (unit(g) for g in grams(input.flatten(1), target.flatten(1)))
        return ((s - t).square().sum() / max(len(s), 1)).to(input.dtype)
