# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from monai.networks.layers import Act, Conv, Pool, get_norm_layer
from torch import nn
from torch.nn.modules.conv import _ConvNd

from monai_kd.utils import ConfigError

__all__ = ["InvertedResidual", "MobileNetV2", "check_sizes", "conv_norm_act", "he_initialise", "round_channels"]

# The rows of the paper's table 2, those of one resolution together: (expansion, channels, blocks, stride of the first).
STAGES: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
    ((1, 16, 1, 1),),
    ((6, 24, 2, 2),),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)


def check_sizes(where: str, spatial_dims: int, in_channels: int, num_classes: int, width: float) -> None:
    """Refuse sizes that no network can have, naming the argument."""
    if spatial_dims not in (1, 2, 3):
        raise ConfigError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims}", where=where)
    for name, value in (("in_channels", in_channels), ("num_classes", num_classes), ("width", width)):
        if value <= 0:
            raise ConfigError(f"{name} must be positive, got {value}", where=where)


def round_channels(channels: float) -> int:
    """The multiple of 8 nearest to `channels`: at least 8, and never more than 10 % below what was asked for.

    Example::

        >>> from monai_kd.networks.mobilenet_v2 import round_channels
        >>> [round_channels(c) for c in (3, 12, 24 * 0.75, 22 * 0.5)]
        [8, 16, 24, 16]
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def conv_norm_act(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int | tuple[int, ...] = 1,
    groups: int = 1,
    norm: tuple | str = "batch",
    act: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution without bias, padded by half a kernel, then `norm`, then `act()` (None: linear)."""
    conv = Conv[Conv.CONV, spatial_dims](
        in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, groups=groups, bias=False
    )
    layers = OrderedDict(conv=conv, norm=get_norm_layer(norm, spatial_dims, out_channels))
    if act is not None:
        layers["act"] = act()
    return nn.Sequential(layers)


def he_initialise(network: nn.Module) -> None:
    """Draw the weights: convolutions normal with variance 2 / fan-out, linear layers with deviation 0.01, biases 0."""
    for layer in network.modules():
        if isinstance(layer, _ConvNd):
            fan_out = layer.out_channels * math.prod(layer.kernel_size) / layer.groups
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan_out))
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class InvertedResidual(nn.Module):
    r"""Widen by a 1x1 convolution, filter each channel by itself, narrow again without an activation.

    .. math:: y = P\,\phi(D\,\phi(E\,x)) \quad (+\,x \text{ where input and output have one shape})

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input.
        hidden_channels: channels of the depthwise convolution; equal to `in_channels`, there is no widening `E`.
        out_channels: channels of the output.
        kernel_size: side of the depthwise kernel.
        stride: stride of the depthwise convolution.
        norm: normalisation, as in MONAI's `get_norm_layer`.
        act: makes the activation.
        excite: applied between the depthwise convolution and the narrowing one (MobileNetV3's squeeze-and-excite).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        norm: tuple | str = "batch",
        act: Callable[[], nn.Module] = Act[Act.RELU6],
        excite: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if hidden_channels != in_channels:
            layers["expand"] = conv_norm_act(spatial_dims, in_channels, hidden_channels, norm=norm, act=act)
        layers["depthwise"] = conv_norm_act(
            spatial_dims, hidden_channels, hidden_channels, kernel_size, stride, hidden_channels, norm, act
        )
        if excite is not None:
            layers["excite"] = excite
        layers["project"] = conv_norm_act(spatial_dims, hidden_channels, out_channels, norm=norm)
        self.layers = nn.Sequential(layers)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Filter `input` [N, in_channels, *spatial] to [N, out_channels, *spatial / stride]."""
        output = self.layers(input)
        return input + output if self.residual else output


class MobileNetV2(nn.Module):
    """MobileNetV2 in one, two or three dimensions: a small student for classification.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (table 2).
    The blocks are grouped by resolution, so that each stage ends where a tap is worth having; no activation works in
    place, so every layer can be tapped:

    ==================  ==================  ===========================  ======================================
    layer               channels (width 1)  input size / map size         attribute
    ==================  ==================  ===========================  ======================================
    `features.stem`     32                  2 (`stem_stride`)
    `features.stage1`   16                  2                            `stage_channels[0]`
    `features.stage2`   24                  4                            `stage_channels[1]`
    `features.stage3`   32                  8                            `stage_channels[2]`
    `features.stage4`   96                  16                           `stage_channels[3]`
    `features.stage5`   320                 32                           `stage_channels[4]`
    `features`          1280                32                           `feature_channels`
    `pool`              1280                flat [N, C]: the embedding   `feature_channels`
    ==================  ==================  ===========================  ======================================

    `torch.export` and ONNX fix an axis that comes down to one pixel: to export for any size, give them an example of
    more than 16 `stem_stride` pixels along each axis.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input.
        num_classes: length of the output.
        width: multiplies every channel count, rounded to a multiple of 8; the last map never gets narrower than 1280.
        stem_stride: stride of the first convolution, one number or one for each axis; 1 suits tiles of 32 pixels, whose
            last map is a single pixel at 2 (which batch normalisation cannot train on at batch size 1).
        dropout: probability that an entry of the embedding is dropped before the last layer.
        norm: normalisation, as in MONAI's `get_norm_layer`: a name, or a name and its arguments.

    Raises:
        ConfigError: a size that no network can have.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MobileNetV2
        >>> net = MobileNetV2(spatial_dims=3, in_channels=1, num_classes=2, width=0.5).eval()
        >>> net(torch.zeros(1, 1, 32, 32, 16)).shape, net.stage_channels
        (torch.Size([1, 2]), (8, 16, 16, 48, 160))
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        width: float = 1.0,
        stem_stride: int | Sequence[int] = 2,
        dropout: float = 0.2,
        norm: tuple | str = "batch",
    ) -> None:
        super().__init__()
        check_sizes("MobileNetV2", spatial_dims, in_channels, num_classes, width)
        stride = stem_stride if isinstance(stem_stride, int) else tuple(stem_stride)
        relu6 = Act[Act.RELU6]
        channels = round_channels(32 * width)
        features: OrderedDict[str, nn.Module] = OrderedDict()
        features["stem"] = conv_norm_act(spatial_dims, in_channels, channels, 3, stride, norm=norm, act=relu6)
        stage_channels = []
        for number, rows in enumerate(STAGES, start=1):
            blocks = []
            for expansion, base_channels, repeats, first_stride in rows:
                out = round_channels(base_channels * width)
                for block_stride in (first_stride, *[1] * (repeats - 1)):
                    hidden = expansion * channels
                    blocks.append(InvertedResidual(spatial_dims, channels, hidden, out, 3, block_stride, norm, relu6))
                    channels = out
            features[f"stage{number}"] = nn.Sequential(*blocks)
            stage_channels.append(channels)
        self.stage_channels = tuple(stage_channels)
        self.feature_channels = round_channels(1280 * max(1.0, width))
        features["head"] = conv_norm_act(spatial_dims, channels, self.feature_channels, norm=norm, act=relu6)
        self.features = nn.Sequential(features)
        self.pool = nn.Sequential(Pool[Pool.ADAPTIVEAVG, spatial_dims](1), nn.Flatten(1))
        self.classifier = nn.Sequential(
            OrderedDict(dropout=nn.Dropout(dropout), output=nn.Linear(self.feature_channels, num_classes))
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        he_initialise(self)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Classify `input` [N, in_channels, *spatial], of any spatial size, to logits [N, num_classes]."""
        return self.classifier(self.pool(self.features(input)))
