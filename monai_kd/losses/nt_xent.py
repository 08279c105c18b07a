# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_positive
from monai_kd.losses.divergence import negative_log_softmax
from monai_kd.losses.functional import full_precision, unit_rows
from monai_kd.utils import ShapeMismatchError, connected_zero

__all__ = ["NTXentLoss"]


class NTXentLoss(nn.Module):
    """Tell two views of one sample from the views of all other samples: SimCLR's loss.

    .. math:: L = -\\frac{1}{2 N} \\sum_{i=1}^{2N} \\log
        \\frac{e^{g_{i i'} / \\tau}}{\\sum_{j \\ne i} e^{g_{ij} / \\tau}}, \\qquad g_{ij} = \\cos(x_i, x_j)

    over the 2N views, i' being the other view of i. Under `torch.distributed` a `Term` gathers the rows of every
    process. Gradient flows into both. Time O(N^2 D), memory O(N^2).

    Args:
        temperature: :math:`\\tau`.

    Raises:
        ConfigError: the temperature is not positive.

    Chen et al., A simple framework for contrastive learning of visual representations, ICML 2020 (arXiv 2002.05709).

    Example::

        >>> import torch
        >>> from monai_kd.losses import NTXentLoss
        >>> NTXentLoss(temperature=1)(torch.eye(2), torch.eye(2))
        tensor(0.5514)
    """

    relational = True

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: embeddings of one view, [N, D].
            target: embeddings of the other view, [N, D].

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: they are not of one shape [N, D].
        """
        if input.ndim != 2 or input.shape != target.shape:
            raise ShapeMismatchError(
                f"the views are {tuple(input.shape)} and {tuple(target.shape)}",
                where="NTXentLoss",
                fix="project both to [N, D] with a `PooledConnector`",
            )
        n = len(input)
        if n == 0:
            return connected_zero(input, target)
        views = unit_rows(torch.cat([input, target]))
        itself = torch.eye(2 * n, dtype=torch.bool, device=views.device)
        logits = (views @ views.T / self.temperature).masked_fill(itself, -1e9)
        other = torch.arange(2 * n, device=views.device).roll(n)
        return negative_log_softmax(logits, other).mean()
