# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_weights
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision
from monai_kd.losses.grams import of_grams
from monai_kd.losses.relations import (
    angle_total,
    angle_total_and_gradient,
    distance_total,
    distance_total_and_gradient,
    pooled,
    well_apart,
)

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
        rows, wanted = pooled(input), pooled(target)
        return of_grams(self._value, self._value_and_gradient, rows, wanted, well_apart, _centred).to(input.dtype)

    def _value(self, s: Tensor, t: Tensor) -> Tensor:
        return sum((weight * total(s, t) for weight, total, _ in self._parts(len(s))), s.new_zeros(()))

    def _value_and_gradient(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        total, gradient = s.new_zeros(()), torch.zeros_like(s)
        for weight, _, both in self._parts(len(s)):
            value, by_gram = both(s, t)
            total += weight * value
            gradient.add_(by_gram, alpha=weight)
        return total, gradient

    def _parts(self, n: int) -> list[tuple[float, Callable, Callable]]:
        every = [
            (self.distance_weight / max(n, 1) ** 2, distance_total, distance_total_and_gradient),
            (self.angle_weight / max(n, 1) ** 3, angle_total, angle_total_and_gradient),
        ]
        return [part for part in every if part[0]]


def _centred(x: Tensor) -> Tensor:
    x = exact(x)
    return x - x.detach().mean(0)  # a shift changes nothing, and has no gradient
