# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_positive
from monai_kd.losses.divergence import negative_log_softmax
from monai_kd.losses.functional import full_precision, unit_rows
from monai_kd.utils import ShapeMismatchError, connected_zero

__all__ = ["InfoNCELoss"]


class InfoNCELoss(nn.Module):
    """Tell a sample's teacher embedding from those of the other samples of the batch, and the other way round.

    .. math:: L = -\\frac{1}{2 N} \\sum_i \\Bigl( \\log \\frac{e^{g_{ii} / \\tau}}{\\sum_j e^{g_{ij} / \\tau}}
        + \\log \\frac{e^{g_{ii} / \\tau}}{\\sum_j e^{g_{ji} / \\tau}} \\Bigr), \\qquad
        g_{ij} = \\cos(s_i, t_j)

    CRD without a memory: it needs no index of the samples, and large batches. Under `torch.distributed` a `Term`
    gathers the rows of every process. Gradient flows into both, so that the teacher's projection learns; a `Teacher`
    has none. Time O(N^2 D), memory O(N^2).

    Args:
        temperature: :math:`\\tau`.

    Raises:
        ConfigError: the temperature is not positive.

    van den Oord et al., Representation learning with contrastive predictive coding, 2018 (arXiv 1807.03748).

    Example::

        >>> import torch
        >>> from monai_kd.losses import InfoNCELoss
        >>> InfoNCELoss(temperature=1)(torch.eye(2), torch.eye(2))
        tensor(0.3133)
    """

    relational = True

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: embeddings of the student, [N, D].
            target: embeddings of the teacher, [N, D].

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: they are not of one shape [N, D].
        """
        if input.ndim != 2 or input.shape != target.shape:
            raise ShapeMismatchError(
                f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}",
                where="InfoNCELoss",
                fix="project both to [N, D] with a `PooledConnector`",
            )
        if len(input) == 0:
            return connected_zero(input, target)
        logits = unit_rows(input) @ unit_rows(target.to(input.dtype)).T / self.temperature
        same = torch.arange(len(logits), device=logits.device)
        return (negative_log_softmax(logits, same) + negative_log_softmax(logits.T, same)).mean() / 2
