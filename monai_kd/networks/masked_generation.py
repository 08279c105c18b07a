# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_kd.networks.connector import Connector
from monai_kd.utils import ConfigError

__all__ = ["MaskedGeneration"]


class MaskedGeneration(nn.Module):
    r"""Hide a random part of the student's features and generate the teacher's from the rest: for `MGDLoss`.

    .. math:: G = W_2\,\mathrm{relu}(W_1 (m \odot r(F)))

    with r a 1x1 convolution and W two convolutions of 3 places along each axis. Nothing is hidden in eval mode.

    Yang et al., "Masked Generative Distillation", ECCV 2022 (arXiv 2205.01529).

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the student's map.
        out_channels: channels of the teacher's.
        drop: the part that is hidden, in [0, 1).
        channels: hide channels, as for classification, instead of places.

    Raises:
        ConfigError: `drop` is not in [0, 1).

    Example::

        >>> import torch
        >>> from monai_kd.networks import MaskedGeneration
        >>> generation = MaskedGeneration(spatial_dims=3, in_channels=4, out_channels=8, drop=0.75)
        >>> generation(torch.rand(2, 4, 6, 6, 6)).shape
        torch.Size([2, 8, 6, 6, 6])
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, drop: float = 0.5, channels: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= drop < 1:
            raise ConfigError(f"drop must be in [0, 1), got {drop!r}", where="MaskedGeneration")
        self.drop, self.channels = float(drop), channels
        self.align = Connector(spatial_dims, in_channels, out_channels, norm=None)
        conv = Conv[Conv.CONV, spatial_dims]
        self.generate = nn.Sequential(
            conv(out_channels, out_channels, 3, padding=1), nn.ReLU(), conv(out_channels, out_channels, 3, padding=1)
        )

    def forward(self, input: Tensor, like: Tensor | None = None) -> Tensor:
        """Generate.

        Args:
            input: the student's map, [N, in_channels, *spatial].
            like: a map whose spatial size the output gets, the teacher's.

        Returns:
            [N, out_channels, *size].
        """
        aligned = self.align(input, like)
        if self.training and self.drop:
            n, c, *space = aligned.shape
            shape = (n, c, *[1] * len(space)) if self.channels else (n, 1, *space)
            aligned = aligned * (torch.rand(shape, device=aligned.device) >= self.drop)
        return self.generate(aligned)
