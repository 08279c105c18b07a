# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_features
from monai_kd.losses.functional import full_precision

__all__ = ["MGDLoss"]


class MGDLoss(nn.Module):
    """Compare what was generated from the student's masked features with the teacher's: masked generative distillation.

    .. math:: L = \\frac{1}{N} \\sum_k (G_k - F_{t,k})^2

    summed over the entries of a sample, so that it grows with the map and its weight is small. G comes out of a
    `MaskedGeneration` pass. The gradient is 2 / N times the difference of the features, not divided by their number:
    they may be float16 up to about 1e4. Time and memory O(N C S).

    Yang et al., Masked generative distillation, ECCV 2022 (arXiv 2205.01529).

    Example::

        >>> import torch
        >>> from monai_kd.losses import MGDLoss
        >>> MGDLoss()(torch.zeros(2, 1, 3), torch.ones(2, 1, 3))
        tensor(3.)
    """

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: what was generated, [N, C] or [N, C, *spatial].
            target: features of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ.
        """
        check_features(input, target, where="MGDLoss")
        return F.mse_loss(input, target.detach(), reduction="sum") / max(input.shape[0], 1)
