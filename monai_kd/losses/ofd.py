# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_mask
from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision, keep_selected
from monai_kd.utils import ShapeMismatchError

__all__ = ["OFDLoss"]


class OFDLoss(nn.Module):
    """Pull the student's features toward the teacher's before the ReLU, where it matters after the ReLU.

    .. math:: L = \\frac{1}{N} \\sum_k [\\, s_k > t'_k \\text{ or } t'_k > 0 \\,] (s_k - t'_k)^2, \\qquad
        t'_k = \\max(t_k, m_{c(k)})

    summed over the entries of a sample: what is negative on both sides is left alone as long as the student is below.
    The margin m of a channel is the mean of the teacher's negative values there, of this batch or as given
    (`batch_norm_margin` works it out from a BatchNorm layer, as the authors do). The gradient is 2 / N times the
    difference of the features, not divided by their number: they may be float16 up to about 1e4. Time and memory
    O(N C S).

    Heo et al., A comprehensive overhaul of feature distillation, ICCV 2019 (arXiv 1904.01866).

    Example::

        >>> import torch
        >>> from monai_kd.losses import OFDLoss
        >>> OFDLoss()(torch.tensor([[[-9.0, 1.0]]]), torch.tensor([[[-1.0, 3.0]]]))
        tensor(4.)
    """

    @full_precision
    def forward(
        self, input: Tensor, target: Tensor, margin: Tensor | None = None, *, mask: Tensor | None = None
    ) -> Tensor:
        """Compare.

        Args:
            input: features of the student before the activation, [N, C] or [N, C, *spatial].
            target: features of the teacher before the activation, the same shape; no gradient flows into them.
            margin: of each channel, [C], negative.
            mask: which places are summed, [N, *spatial] or [N, 1, *spatial], boolean or weights; without any the loss
                is 0. The margin of the batch is that of the places which count.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the shapes differ, there is not one margin a channel, or the mask does not fit.
        """
        check_features(input, target, where="OFDLoss")
        if mask is not None:
            check_mask(mask, input, where="OFDLoss")
        input, target = keep_selected(mask, input, target.detach())
        if margin is None:
            below = (target < 0).to(target.dtype).transpose(0, 1).flatten(1).sum(1)
            margin = target.clamp(max=0).transpose(0, 1).flatten(1).sum(1) / below.clamp(min=1)
        elif margin.shape != input.shape[1:2]:
            raise ShapeMismatchError(
                f"margin is {tuple(margin.shape)}, student {tuple(input.shape)}",
                where="OFDLoss",
                fix="give one margin a channel",
            )
        margin = margin.detach().to(target.dtype).reshape(1, -1, *[1] * (target.ndim - 2))
        margins = margin.expand(input.shape[0], *margin.shape[1:])
        weight = [] if mask is None else [mask.reshape(input.shape[0], 1, *input.shape[2:]).to(input.dtype)]
        return sum_in_chunks(_apart, [input], [target, margins, *weight], double=False) / max(input.shape[0], 1)


def _apart(s: Tensor, t: Tensor, margin: Tensor, weight: Tensor | None = None) -> Tensor:
    t = t.maximum(margin)
    counts = (s > t) | (t > 0) | s.isnan()
    squares = ((s - t) * counts).square()
    return squares if weight is None else squares * weight
