# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.checks import check_features
from monai_kd.losses.functional import full_precision

__all__ = ["HintLoss"]


class HintLoss(nn.Module):
    """Pull the student's features toward the teacher's, entry by entry: the hint of FitNets.

    .. math:: L = \\frac{1}{|F|} \\sum_k (F_{s,k} - F_{t,k})^2

    over every entry of the maps. The student's features come out of a `Connector`, if they are of another width or
    size than the teacher's.

    Romero et al., FitNets: hints for thin deep nets, ICLR 2015 (arXiv 1412.6550).

    Example::

        >>> import torch
        >>> from monai_kd.losses import HintLoss
        >>> HintLoss()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor(2.)
    """

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C] or [N, C, *spatial].
            target: features of the teacher, the same shape; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ; nothing is ever broadcast.
        """
        check_features(input, target, where="HintLoss")
        return F.mse_loss(input, target.detach(), reduction="sum") / max(input.numel(), 1)
