# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_weights
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import grams
from monai_kd.losses.relations import angle_total, distances, pooled

__all__ = ["RKDLoss"]


class RKDLoss(nn.Module):
    """Keep the distances between the samples of a batch, and the angles they span, as the teacher has them.

    .. math:: L = \\frac{w_d}{N^2} \\sum_{ij} H\\Bigl(\\frac{d^s_{ij}}{\\mu_s} - \\frac{d^t_{ij}}{\\mu_t}\\Bigr)
        + \\frac{w_a}{N^3} \\sum_{ijk} H(a^s_{ijk} - a^t_{ijk})

    with H the Huber loss, d the Euclidean distance of two samples' features (averaged over space), :math:`\\mu` the
    mean of the distances above 0, a the cosine of the angle that samples i and k span at j. Widths and sizes may
    differ. An angle at which two samples coincide counts as 0. Under `torch.distributed` a `Term` gathers the rows of
    every process. Time O(N^2 C + N^3), memory O(N^2 + N C).

    Args:
        distance_weight: w_d; 0 leaves the distances out.
        angle_weight: w_a; 0 leaves the angles out.

    Raises:
        ConfigError: a weight is negative, or both are 0.

    Park et al., Relational knowledge distillation, CVPR 2019 (arXiv 1904.05068).

    Example::

        >>> import torch
        >>> from monai_kd.losses import RKDLoss
        >>> features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(RKDLoss()(3 * features + 1, features)), 6)  # a shift and a scale keep all relations
        0.0
    """

    relational = True

    def __init__(self, distance_weight: float = 25.0, angle_weight: float = 50.0) -> None:
        super().__init__()
        self.distance_weight, self.angle_weight = check_weights(
            distance_weight=distance_weight, angle_weight=angle_weight
        )

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            target: features of the teacher for the same samples, [N, C', ...]; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples differ.
        """
        check_batch(input, target, where="RKDLoss")
        n = max(input.shape[0], 1)
        s, t = grams(*(_centred(pooled(x)) for x in (input, target)))
        parts = []
        if self.distance_weight:
            parts.append(self.distance_weight * _distances(s, t) / n**2)
        if self.angle_weight:
            parts.append(self.angle_weight * angle_total(s, t) / n**3)
        return sum(parts[1:], parts[0]).to(input.dtype)


def _centred(x: Tensor) -> Tensor:
    return x - x.detach().mean(0)  # a shift changes nothing, and has no gradient


def _distances(s: Tensor, t: Tensor) -> Tensor:
    d_s, d_t = (distances(x) for x in (s, t))
    d_s, d_t = (d / (d.sum() / (d > 0).sum().clamp(min=1)).clamp(min=1e-30) for d in (d_s, d_t))
    return F.smooth_l1_loss(d_s, d_t, reduction="sum")
