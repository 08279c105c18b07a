# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_mask
from monai_kd.losses.functional import divisor, full_precision, keep_selected
from monai_kd.utils import ShapeMismatchError

__all__ = ["VIDLoss"]


class VIDLoss(nn.Module):
    """Make the teacher's features likely under a Gaussian that the student predicts: variational information.

    .. math:: L = \\frac{1}{2 |F|} \\sum_k \\Bigl( \\frac{(t_k - \\mu_k)^2}{v_{c(k)}} + \\log v_{c(k)} \\Bigr)

    over the entries k of the maps, with a mean :math:`\\mu` for each and a variance v for each channel. Both come from
    a `VariationalConnector`, whose parameters learn. The least value is not 0. Time and memory O(N C S).

    Ahn et al., Variational information distillation for knowledge transfer, CVPR 2019 (arXiv 1904.05835).

    Example::

        >>> import torch
        >>> from monai_kd.losses import VIDLoss
        >>> VIDLoss()(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), variance=torch.ones(1))
        tensor(0.5000)
    """

    selected_by = ("mask",)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, variance: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: the mean that the student predicts, [N, C] or [N, C, *spatial].
            target: features of the teacher, the same shape; no gradient flows into them.
            variance: of each channel, [C], positive; gradient flows into it.
            mask: which rows count, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss is 0.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, there is not one variance a channel, or the mask does not fit.
        """
        check_features(input, target, where="VIDLoss")
        if variance.shape != input.shape[1:2]:
            raise ShapeMismatchError(
                f"variance is {tuple(variance.shape)}, student {tuple(input.shape)}",
                where="VIDLoss",
                fix="give one variance a channel, as `VariationalConnector` does",
            )
        v = variance.to(input.dtype)
        if mask is not None:
            check_mask(mask, input, where="VIDLoss")
        s, t = keep_selected(mask, input, target.detach())
        squares = (t - s).square()
        count = squares.new_full((), input.shape[0] * math.prod(input.shape[2:]))
        if mask is not None:
            weight = mask.detach().reshape(input.shape[0], 1, *input.shape[2:]).to(squares.dtype)
            squares, count = squares * weight, weight.sum()
        squares = squares.transpose(0, 1).flatten(1).sum(1) / divisor(count)
        return ((squares / v).mean() + v.log().mean() * (count != 0)) / 2
