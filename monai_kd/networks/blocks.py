# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai.networks.blocks import Convolution
from torch import nn

__all__ = ["conv_norm_act"]


def conv_norm_act(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    act: tuple | str | None = "relu",
    is_transposed: bool = False,
) -> nn.Module:
    """A convolution that keeps the size, batch normalisation, activation: the layer of passes that learn.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: places along each axis.
        act: as in MONAI's `get_act_layer`; None for none.
        is_transposed: a transposed convolution.
    """
    return Convolution(
        spatial_dims,
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        adn_ordering="NA",
        norm="batch",
        act=act,
        bias=False,
        is_transposed=is_transposed,
    )
