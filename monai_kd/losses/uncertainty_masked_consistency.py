# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_logits, check_positive, check_several_classes
from monai_kd.losses.functional import full_precision
from monai_kd.losses.probability_mse import ProbabilityMSELoss

__all__ = ["UncertaintyMaskedConsistencyLoss"]


class UncertaintyMaskedConsistencyLoss(nn.Module):
    """Follow the teacher only where it is sure: the consistency of the uncertainty-aware mean teacher.

    .. math:: L = \\frac{\\sum_i [U_i < h \\ln C] \\, \\frac{1}{C} \\sum_c (p_{s,ic} - p_{t,ic})^2}
        {\\sum_i [U_i < h \\ln C]}, \\qquad U_i = -\\sum_c \\bar p_{ic} \\ln \\bar p_{ic}

    over the rows i: samples, pixels or voxels, with :math:`\\bar p` the teacher's mean probability over several noisy
    forwards (`MonteCarloTeacher`). Where no row is sure the loss is 0. Time and memory O(M C).

    Args:
        threshold: h, in (0, 1]; the authors raise it from 0.75 to 1 in the course of the training, as
            `ScheduleParameter` can.

    Raises:
        ConfigError: the threshold is not positive.

    Yu et al., Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation, MICCAI 2019
    (arXiv 1907.07034).

    Example::

        >>> import torch
        >>> from monai_kd.losses import UncertaintyMaskedConsistencyLoss
        >>> student, teacher = torch.zeros(2, 2), torch.tensor([[9.0, -9.0], [0.0, 1.0]])
        >>> mean = torch.tensor([[1.0, 0.0], [0.5, 0.5]])  # sure of the first alone
        >>> UncertaintyMaskedConsistencyLoss()(student, teacher, probability=mean)
        tensor(0.2500)
    """

    def __init__(self, threshold: float = 0.75) -> None:
        super().__init__()
        self.threshold = check_positive(threshold, "threshold")
        self.consistency = ProbabilityMSELoss()

    @full_precision
    def forward(self, input: Tensor, target: Tensor, probability: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: logits of the student, [N, C] or [N, C, *spatial].
            target: logits of the teacher, the same shape; no gradient flows into them.
            probability: the teacher's mean probabilities, the same shape.
            mask: which rows count, if the teacher is sure of them, [N, *spatial] or [N, 1, *spatial], boolean or
                weights; without any the loss is 0.

        Returns:
            A scalar.

        Raises:
            ClassMismatchError: the numbers of classes differ.
            ShapeMismatchError: anything else of the shapes differs, or the mask does not fit.
            ConfigError: there is one class only.
        """
        for other in (target, probability):
            check_logits(input, other, mask, where="UncertaintyMaskedConsistencyLoss")
        check_several_classes(input, where="UncertaintyMaskedConsistencyLoss", fix="give two logits")
        return self.consistency(input, target, mask=self._sure(probability, mask))

    @full_precision
    def count(self, input: Tensor, target: Tensor, probability: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """How many rows the mean is over, or the sum of their weights: those of which the teacher is sure."""
        return self._sure(probability, mask).sum(dtype=torch.float64)

    def _sure(self, probability: Tensor, mask: Tensor | None) -> Tensor:
        p = probability.detach()
        uncertainty = -torch.xlogy(p, p).sum(1)
        sure = uncertainty < self.threshold * math.log(p.shape[1])
        return sure if mask is None else mask.detach().reshape(sure.shape) * sure
