# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_positive, check_reduction
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision, pool_to, reduce_rows
from monai_kd.losses.soft_target_kd import soft_target_kl
from monai_kd.utils import ShapeMismatchError

__all__ = ["GazeTransferLoss"]


class GazeTransferLoss(nn.Module):
    """Let the student attend to where a reader looked: transfer of gaze, or of any map of heat.

    .. math:: L = \\frac{1}{|I|} \\sum_{n \\in I} \\sum_x g_{nx} \\log \\frac{g_{nx}}{a_{nx}}, \\qquad
        g = \\frac{\\max(h, 0)}{\\sum_x \\max(h_x, 0)}, \\quad a = \\mathrm{softmax}_x(e / T)

    with h the heat and e the scores of the student's attention before the softmax, over the places of a map. Samples
    without heat are left out. Where the heat has another size it is averaged over blocks to that of the scores. In
    float64. Time and memory O(N S).

    Args:
        temperature: T.
        reduction: over samples: 'mean', 'sum' or 'none' ([N]).

    Raises:
        ConfigError: the temperature is not positive, the reduction unknown.

    The form is inferred: gaze as privileged attention, as in Bhattacharya et al., RadioTransformer, ECCV 2022 (arXiv
    2202.11781), whose students regress a box (`BoxTransferLoss`).

    Example::

        >>> import torch
        >>> from monai_kd.losses import GazeTransferLoss
        >>> scores, heat = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 5.0], [0.0, 5.0]]]])
        >>> GazeTransferLoss()(scores, heat)  # log 2: half of the places are looked at
        tensor(0.6931)
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: scores of the student's attention, [N, 1, *spatial], spatial in one to three dimensions.
            target: heat of the same samples, [N, 1, *spatial'], of any scale; no gradient flows into it.

        Returns:
            A scalar, or [N] without reduction.

        Raises:
            ShapeMismatchError: the samples or axes differ, there are no spatial axes, or more than one map a sample.
        """
        check_batch(input, target, where="GazeTransferLoss", spatial=True)
        if input.shape[1] != 1 or target.shape[1] != 1:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, gaze {tuple(target.shape)}",
                where="GazeTransferLoss",
                fix="give one map a sample, [N, 1, *spatial]",
            )
        heat = exact(pool_to(target.detach().clamp(min=0), input.shape[2:]).flatten(1))
        rows = soft_target_kl(exact(input.flatten(1)), heat, self.temperature)
        return reduce_rows(rows, self.reduction, heat.any(1)).to(input.dtype)
