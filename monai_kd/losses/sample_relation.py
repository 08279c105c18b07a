# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.functional import full_precision, gram, gram_change, unit_difference
from monai_kd.utils import connected_zero

__all__ = ["SampleRelationLoss"]


class SampleRelationLoss(nn.Module):
    """Keep how the samples of a batch relate to one another as the teacher sees it.

    .. math:: L = \\frac{1}{N} \\| R_s - R_t \\|_F^2, \\qquad R_i = G_i / \\|G_i\\|_2, \\quad G = F F^T

    with F the features of the N samples, one flattened sample a row; widths and sizes of student and teacher may
    differ. Under `torch.distributed` a `Term` gathers the rows of every process. A single sample relates to nobody:
    the loss is 0.

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
        target = target.detach()
        if input.shape[0] == 0:
            return connected_zero(input)
        with torch.no_grad():
            change = gram_change(input, target)
        difference = unit_difference(gram(input), gram(target), change)
        return difference.square().sum() / input.shape[0]
