# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from monai_kd.networks.row_norm import RowNorm
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["Projector"]


class Projector(nn.Module):
    r"""The head between an encoder and a self-supervised loss: linear layers, all but the last with BatchNorm and ReLU.

    .. math:: z = W_L \, h_{L-1} + b, \qquad h_l = \mathrm{ReLU}(\mathrm{BN}(W_l \, h_{l-1})), \qquad h_0 = \bar x

    with :math:`\bar x` the mean over space of a map. It is dropped when the encoder is used. `PooledConnector` is the
    same of at most two layers, with other norms and a unit length. A lone sample is taken as `RowNorm` does.

    Bardes et al., VICReg, ICLR 2022 (arXiv 2105.04906).

    Args:
        in_channels: channels of the features.
        channels: width of every layer.
        layers: L, how many.

    Raises:
        ConfigError: there is no layer.
        ShapeMismatchError: in the call: the features have another number of channels.

    Example::

        >>> import torch
        >>> from monai_kd.networks import Projector
        >>> Projector(8, 16)(torch.rand(4, 8, 5, 5)).shape
        torch.Size([4, 16])
    """

    def __init__(self, in_channels: int, channels: int = 8192, layers: int = 3) -> None:
        super().__init__()
        if layers < 1:
            raise ConfigError(f"layers must be at least 1, got {layers}", where="Projector")
        self.in_channels = in_channels
        widths = [in_channels, *[channels] * layers]
        hidden = [nn.Sequential(nn.Linear(a, b, bias=False), RowNorm(b), nn.ReLU()) for a, b in pairwise(widths[:-1])]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-2], channels))

    def forward(self, input: Tensor) -> Tensor:
        """Project `input` [N, in_channels] or [N, in_channels, *spatial] to [N, channels]."""
        if input.ndim < 2 or input.shape[1] != self.in_channels:
            raise ShapeMismatchError(
                f"the features are {tuple(input.shape)}, axis 1 should be the {self.in_channels} of in_channels",
                where="Projector",
                fix="correct in_channels (a bundle's student_channels or teacher_channels), or tap another layer",
            )
        return self.layers(input.flatten(2).mean(2) if input.ndim > 2 else input)
