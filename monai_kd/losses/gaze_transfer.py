# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_positive, check_reduction
from monai_kd.losses.chunked import exact
from monai_kd.losses.exact_attention import exact_attention_map
from monai_kd.losses.functional import full_precision, keep_selected, pool_to, reduce_rows
from monai_kd.utils import ShapeMismatchError

__all__ = ["GazeTransferLoss"]


class GazeTransferLoss(nn.Module):
    """Let the student attend to where a reader looked: transfer of gaze, or of any map of heat.

    .. math:: L = \\frac{1}{|I|} \\sum_{n \\in I} \\sum_x g_{nx} \\log \\frac{g_{nx}}{a_{nx}}, \\qquad
        g = \\frac{\\max(h, 0)}{\\sum_x \\max(h_x, 0)}, \\quad a = \\mathrm{softmax}_x(e / T)

    with h the heat and e the scores of the student's attention before the softmax, over the S places of a map; features
    of several channels are scored by their energy, :math:`e_x = \\frac{1}{C} \\sum_c F_{cx}^2`. Samples without heat
    are left out. Where the heat has another size it is averaged over blocks to that of the scores. In float64. Time and
    memory O(N C S).

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
            input: scores of the student's attention, [N, 1, *spatial], or features [N, C, *spatial] with C > 1; spatial
                in one to three dimensions.
            target: heat of the same samples, [N, 1, *spatial'], of any scale and type (a mask, counts); no gradient
                flows into it.

        Returns:
            A scalar, or [N] without reduction.

        Raises:
            ShapeMismatchError: samples or axes differ, there are no spatial axes, or the heat is not one map a sample.
        """
        check_batch(input, target, where="GazeTransferLoss", spatial=True)
        if target.shape[1] != 1 or input.shape[1] == 0:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, gaze {tuple(target.shape)}",
                where="GazeTransferLoss",
                fix="give the heat as one map a sample, [N, 1, *spatial]",
            )
        heat, total = _heat(input, target)
        looked = total.squeeze(1) > 0
        g = heat / total.masked_fill(total <= 0, 1)
        (features,) = keep_selected(looked.reshape(-1, 1, 1), input.flatten(2))
        e = exact(features[:, 0]) if features.shape[1] == 1 else exact_attention_map(features)
        log_a = (e / self.temperature).log_softmax(1)
        rows = (torch.xlogy(g, g) - torch.where(g == 0, g, g * log_a)).sum(1)  # no heat, no matter: 0 log 0 = 0
        return reduce_rows(rows, self.reduction, looked).to(input.dtype)

    def count(self, input: Tensor, target: Tensor) -> Tensor:
        """How many samples the mean is over: those with heat."""
        _, total = _heat(input, target)
        return (total > 0).sum(dtype=torch.float64)


def _heat(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The heat at the places of the scores, [N, S], and its sum, [N, 1]."""
    heat = exact(target.detach().to(torch.promote_types(target.dtype, torch.float32))).clamp(min=0)
    heat = pool_to(heat, input.shape[2:]).flatten(1)
    return heat, heat.sum(1, keepdim=True)
