# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.networks.connector import Connector
from monai_kd.utils import ConfigError

__all__ = ["VariationalConnector"]


class VariationalConnector(nn.Module):
    r"""Predict the teacher's features from the student's, with a variance for each channel that learns: for `VIDLoss`.

    .. math:: \mu = r(F_s), \qquad v_c = \log(1 + e^{a_c}) + \epsilon

    Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019 (arXiv 1904.05835); the mean is
    one :class:`Connector` here, not three layers.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the student's map.
        out_channels: channels of the teacher's.
        initial_variance: v at the start.
        eps: epsilon.

    Raises:
        ConfigError: the initial variance is not above eps.

    Example::

        >>> import torch
        >>> from monai_kd.networks import VariationalConnector
        >>> connector = VariationalConnector(spatial_dims=2, in_channels=4, out_channels=8)
        >>> answer = connector(torch.rand(2, 4, 6, 6), torch.rand(2, 8, 3, 3))
        >>> answer["mean"].shape, answer["variance"].shape
        (torch.Size([2, 8, 3, 3]), torch.Size([8]))
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        initial_variance: float = 5.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if not initial_variance > eps:
            raise ConfigError(
                f"initial_variance must be above {eps:g}, got {initial_variance}", where="VariationalConnector"
            )
        self.eps = eps
        self.mean = Connector(spatial_dims, in_channels, out_channels)
        start = math.log(math.expm1(initial_variance - eps))
        self.raw_variance = nn.Parameter(torch.full((out_channels,), start))

    def forward(self, input: Tensor, like: Tensor | None = None) -> dict[str, Tensor]:
        """Predict.

        Args:
            input: the student's map, [N, in_channels, *spatial].
            like: a map whose spatial size the mean gets, the teacher's.

        Returns:
            `mean`, [N, out_channels, *size], and `variance`, [out_channels].
        """
        return {"mean": self.mean(input, like), "variance": F.softplus(self.raw_variance) + self.eps}
