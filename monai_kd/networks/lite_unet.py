# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import Act, Conv
from torch import nn

from monai_kd.networks.mobilenet_v2 import conv_norm_act
from monai_kd.utils import ConfigError

__all__ = ["LiteUNet", "separable"]

MODES = ("linear", "bilinear", "trilinear")


def separable(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    stride: int | tuple[int, ...] = 1,
    norm: tuple | str = "batch",
) -> nn.Sequential:
    """Filter each channel by itself (3 pixels wide), then mix the channels: a depthwise separable convolution."""
    relu = Act[Act.RELU]
    depthwise = conv_norm_act(spatial_dims, in_channels, in_channels, 3, stride, in_channels, norm, relu)
    return nn.Sequential(
        OrderedDict(
            depthwise=depthwise,
            pointwise=conv_norm_act(spatial_dims, in_channels, out_channels, 1, norm=norm, act=relu),
        )
    )


class LiteUNet(nn.Module):
    """A U-Net of depthwise separable convolutions in one, two or three dimensions: a small student for segmentation.

    The encoder halves the map between its stages; the decoder narrows the deeper map, brings it to the skip's size by
    linear interpolation, and filters both together. So any spatial size is taken, odd ones too. Its plan is that of
    Ronneberger et al., "U-Net", MICCAI 2015, its convolutions those of Howard et al., "MobileNets", 2017; the two
    together are ours.

    ====================================  =======================  ==========================================
    layers to tap                         channels                 map size / that of the stem
    ====================================  =======================  ==========================================
    `encoder.stage1`, `encoder.stage2`    `channels[0]`, ...       1, 1/2, ... (`encoder_layers`)
    `decoder.stage1`, `decoder.stage2`    `channels[0]`, ...       1, 1/2, ... (`decoder_layers`)
    ====================================  =======================  ==========================================

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the answer.
        channels: of the stages, from the largest map to the smallest; at least two.
        stem_stride: stride of the first convolution; at 2 every map is half as large, a volume costs an eighth, and the
            answer is interpolated to the input's size.
        norm: normalisation, as in MONAI's `get_norm_layer`: a name, or a name and its arguments.
        deep_supervision: in train mode answer a stack [N, heads, C, *spatial] as MONAI's `DynUNet` does: the answer,
            and those of every smaller decoder stage, interpolated to the input's size.

    Raises:
        ConfigError: a size that no network can have.
        ValueError: the input has another number of axes.

    Example::

        >>> import torch
        >>> from monai_kd.networks import LiteUNet
        >>> net = LiteUNet(spatial_dims=3, in_channels=1, out_channels=3, channels=(8, 16, 32)).eval()
        >>> net(torch.zeros(1, 1, 21, 32, 16)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([1, 3, 21, 32, 16]), 6963)
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (16, 32, 64, 128),
        stem_stride: int = 1,
        norm: tuple | str = "instance",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        if spatial_dims not in (1, 2, 3):
            raise ConfigError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims}", where="LiteUNet")
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}", where="LiteUNet")
        if len(channels) < 2 or min(channels) < 1:
            raise ConfigError(f"channels must be at least two positive numbers, got {channels}", where="LiteUNet")
        if stem_stride < 1:
            raise ConfigError(f"stem_stride must be at least 1, got {stem_stride}", where="LiteUNet")
        self.spatial_dims, self.stem_stride = spatial_dims, stem_stride
        self.deep_supervision = deep_supervision
        self.mode = MODES[spatial_dims - 1]
        deep = len(channels)
        self.encoder_layers = tuple(f"encoder.stage{i}" for i in range(1, deep + 1))
        self.decoder_layers = tuple(f"decoder.stage{i}" for i in range(1, deep))
        encoder, decoder, heads = (OrderedDict[str, nn.Module]() for _ in range(3))
        before = in_channels
        for i, width in enumerate(channels):
            first = (
                conv_norm_act(spatial_dims, before, width, 3, stem_stride, norm=norm, act=Act[Act.RELU])
                if i == 0
                else separable(spatial_dims, before, width, 2, norm)
            )
            encoder[f"stage{i + 1}"] = nn.Sequential(first, separable(spatial_dims, width, width, 1, norm))
            before = width
        for i in reversed(range(deep - 1)):  # in the order in which they run
            decoder[f"stage{i + 1}"] = _Up(spatial_dims, channels[i + 1], channels[i], norm)
            if i and deep_supervision:
                heads[f"stage{i + 1}"] = Conv[Conv.CONV, spatial_dims](channels[i], out_channels, 1)
        self.encoder = nn.ModuleDict(encoder)
        self.decoder = nn.ModuleDict(decoder)
        self.heads = nn.ModuleDict(heads)
        self.head = Conv[Conv.CONV, spatial_dims](channels[0], out_channels, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Segment `input` [N, in_channels, *spatial] to logits [N, out_channels, *spatial]."""
        if input.dim() != self.spatial_dims + 2:
            raise ValueError(f"LiteUNet: the input has {input.dim()} axes, {self.spatial_dims + 2} are wanted")
        x = input
        skips: list[torch.Tensor] = []
        for stage in self.encoder.values():
            x = stage(x)
            skips.append(x)
        skips.pop()
        maps: list[torch.Tensor] = []
        for up in self.decoder.values():
            x = up(x, skips.pop())
            maps.append(x)
        answer = self.head(x)
        if self.stem_stride > 1:
            answer = F.interpolate(answer, input.shape[2:], mode=self.mode, align_corners=False)
        answers = [answer]
        if self.training:
            for i, head in enumerate(self.heads.values()):
                answers.insert(1, F.interpolate(head(maps[i]), input.shape[2:], mode=self.mode, align_corners=False))
        return torch.stack(answers, dim=1) if len(answers) > 1 else answers[0]


class _Up(nn.Module):
    """Narrow the deeper map, bring it to the skip's size, filter both."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, norm: tuple | str) -> None:
        super().__init__()
        self.mode = MODES[spatial_dims - 1]
        self.narrow = conv_norm_act(spatial_dims, in_channels, out_channels, norm=norm, act=Act[Act.RELU])
        self.fuse = separable(spatial_dims, 2 * out_channels, out_channels, 1, norm)

    def forward(self, deeper: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(self.narrow(deeper), skip.shape[2:], mode=self.mode, align_corners=False)
        return self.fuse(torch.cat([skip, x], dim=1))
