# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.crd import contrast
from monai_kd.losses.functional import full_precision
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["ClassGuidedContrastiveLoss"]


class ClassGuidedContrastiveLoss(nn.Module):
    """Tell samples of the same class from samples of other classes, in both directions: CRCKD's contrastive part.

    .. math:: L = \\frac{1}{N} \\sum_n \\sum_{d \\in \\{s, t\\}} \\Bigl( -\\frac{1}{P} \\sum_{k \\le P} \\log h^d_{nk}
        - \\sum_{k > P} \\log (1 - h^d_{nk}) \\Bigr), \\qquad h = \\frac{e}{e + K / M} = \\sigma(a)

    with :math:`e = e^{g / \\tau} / Z` of the cosine g of two embeddings, P positives, K negatives, M training samples.
    The logits a, the positives first, come from a `ClassMemoryBank` pass. `CRDLoss` has one positive, the sample
    itself. Gradient flows into both. In log space; time and memory O(N (P + K)).

    Args:
        positives: P.

    Raises:
        ConfigError: there is no positive.

    Xing et al., Categorical relation-preserving contrastive knowledge distillation for medical image classification,
    MICCAI 2021 (arXiv 2107.03225).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ClassGuidedContrastiveLoss
        >>> ClassGuidedContrastiveLoss(positives=2)(torch.zeros(1, 3), torch.zeros(1, 3))  # four coins a sample
        tensor(2.7726)
    """

    def __init__(self, positives: int = 20) -> None:
        super().__init__()
        if positives < 1:
            raise ConfigError(f"positives must be at least 1, got {positives!r}")
        self.positives = int(positives)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: logits of the student's embeddings against the teacher's bank, [N, P + K], the positives first.
            target: logits of the teacher's embeddings against the student's bank, the same shape.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, are not [N, P + K], or there are fewer columns than positives.
        """
        if input.ndim != 2 or input.shape != target.shape or input.shape[1] < self.positives:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}, positives {self.positives}",
                where="ClassGuidedContrastiveLoss",
                fix="both must be logits [N, P + K], as a `ClassMemoryBank` of as many positives gives them",
            )
        return (contrast(input, self.positives) + contrast(target, self.positives)) / max(input.shape[0], 1)
