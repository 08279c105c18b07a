# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_features, check_positive
from monai_kd.losses.chunked import exact
from monai_kd.losses.divergence import sigmoid_difference
from monai_kd.losses.functional import full_precision

__all__ = ["AttentionOverlapLoss"]


class AttentionOverlapLoss(nn.Module):
    """Look at the places at which the teacher looks: the overlap of two softly cut attention maps.

    .. math:: L = \\frac{\\sum (A_s - A_t)^2}{\\sum A_s + \\sum A_t}, \\qquad
        A = \\sigma\\Bigl(k \\Bigl(\\frac{a - \\min a}{\\max a - \\min a} - \\theta\\Bigr)\\Bigr)

    with the sums over all samples and places, and the smallest and largest value of each map. A map that is the same
    everywhere has nothing in focus. Time and memory O(N S).

    Args:
        sharpness: k; the larger, the more A is 0 or 1.
        threshold: :math:`\\theta`, the part of the range above which a place is in focus.

    Raises:
        ConfigError: the sharpness is not positive.

    Huo et al., Automatic grading assessments for knee MRI cartilage defects via self-ensembling semi-supervised
    learning with dual-consistency, Medical Image Analysis 2022.

    Example::

        >>> import torch
        >>> from monai_kd.losses import AttentionOverlapLoss
        >>> student, teacher = torch.tensor([[[5.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 7.0, 0.0]]])
        >>> round(float(AttentionOverlapLoss()(student, teacher)), 6)  # nothing in common
        1.0
    """

    relational = True  # one fraction for the batch

    def __init__(self, sharpness: float = 100.0, threshold: float = 0.4) -> None:
        super().__init__()
        self.sharpness, self.threshold = check_positive(sharpness, "sharpness"), float(threshold)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, C, *spatial]; C is 1 for a `ClassActivation`.
            target: maps of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="AttentionOverlapLoss", spatial=True)
        check_features(input, target, where="AttentionOverlapLoss")
        s, t = (self._cut(x) for x in (input, target.detach()))
        apart = sigmoid_difference(s, t).square().sum()
        return (apart / (s.sigmoid().sum() + t.sigmoid().sum()).clamp(min=1e-5)).to(input.dtype)

    def _cut(self, maps: Tensor) -> Tensor:
        """Logits of A."""
        if maps.numel() == 0:
            return exact(maps)
        a = exact(maps).flatten(2)
        low, high = a.amin(2, keepdim=True), a.amax(2, keepdim=True)
        size = (high - low).masked_fill(high == low, 1)
        return self.sharpness * ((a - low) / size - self.threshold)
