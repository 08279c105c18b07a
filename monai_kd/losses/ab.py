# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_positive
from monai_kd.losses.functional import full_precision

__all__ = ["ABLoss"]


class ABLoss(nn.Module):
    """Make the student's neurons active where the teacher's are, by a margin, before the ReLU.

    .. math:: L = \\frac{1}{N} \\sum_k \\bigl( [t_k \\le 0, s_k > -m] (s_k + m)^2 + [t_k > 0, s_k \\le m] (s_k - m)^2
        \\bigr)

    summed over the entries of a sample. How far beyond the margin does not matter. Time and memory O(N C S).

    Args:
        margin: m.

    Raises:
        ConfigError: the margin is not positive.

    Heo et al., Knowledge transfer via distillation of activation boundaries formed by hidden neurons, AAAI 2019
    (arXiv 1811.03233).

    Example::

        >>> import torch
        >>> from monai_kd.losses import ABLoss
        >>> ABLoss()(torch.tensor([[0.0, 5.0, -5.0]]), torch.tensor([[9.0, 9.0, -9.0]]))
        tensor(1.)
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = check_positive(margin, "margin")

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student before the activation, [N, C] or [N, C, *spatial].
            target: features of the teacher before the activation, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ.
        """
        check_features(input, target, where="ABLoss")
        target = target.detach()
        side = torch.where(target.isnan(), target, 1 - 2 * (target <= 0).to(target.dtype))
        signed = input * side.to(input.dtype)  # how far on the teacher's side
        return (self.margin - signed).clamp(min=0).square().sum() / max(input.shape[0], 1)
