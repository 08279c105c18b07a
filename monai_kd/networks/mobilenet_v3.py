# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from monai.networks.layers import Act, Conv, Pool
from torch import nn

from monai_kd.networks.mobilenet_v2 import InvertedResidual, check_sizes, conv_norm_act, he_initialise, round_channels

__all__ = ["MobileNetV3Small", "SqueezeExcite"]

# The rows of the paper's table 2, those of one resolution together:
# (kernel, hidden channels, channels, squeeze-and-excite, hard-swish, stride).
STAGES: tuple[tuple[tuple[int, int, int, bool, bool, int], ...], ...] = (
    ((3, 16, 16, True, False, 2),),
    ((3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1)),
    (
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
    ),
    ((5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1)),
)


class SqueezeExcite(nn.Module):
    r"""Weight each channel by what all of them say on average over space.

    .. math:: y = x \cdot \sigma_h(W_2\, \mathrm{relu}(W_1\, \bar x)), \quad \sigma_h(v) = \mathrm{relu6}(v + 3) / 6

    MONAI's own block has neither the paper's hard sigmoid nor its rounding of the squeezed channels.

    Args:
        spatial_dims: 1, 2 or 3.
        channels: channels of the input and of the output; a quarter of them are squeezed to.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        conv, squeezed = Conv[Conv.CONV, spatial_dims], round_channels(channels / 4)
        self.weight = nn.Sequential(
            OrderedDict(
                pool=Pool[Pool.ADAPTIVEAVG, spatial_dims](1),
                squeeze=conv(channels, squeezed, 1),
                act=Act[Act.RELU](),
                excite=conv(squeezed, channels, 1),
                gate=nn.Hardsigmoid(),
            )
        )

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Weight the channels of `input` [N, channels, *spatial]; the shape stays."""
        return input * self.weight(input)


class MobileNetV3Small(nn.Module):
    """MobileNetV3-Small in one, two or three dimensions: the smallest of the students for classification.

    Howard et al., "Searching for MobileNetV3", ICCV 2019 (table 2). As in the published weights, the last 1x1
    convolution has no squeeze-and-excite. The blocks are grouped by resolution, so that each stage ends where a tap is
    worth having; no activation works in place, so every layer can be tapped:

    ===================  ==================  ===========================  ======================================
    layer                channels (width 1)  input size / map size         attribute
    ===================  ==================  ===========================  ======================================
    `features.stem`      16                  2 (`stem_stride`)
    `features.stage1`    16                  4                            `stage_channels[0]`
    `features.stage2`    24                  8                            `stage_channels[1]`
    `features.stage3`    48                  16                           `stage_channels[2]`
    `features.stage4`    96                  32                           `stage_channels[3]`
    `features`           576                 32                           `feature_channels`
    `pool`               576                 flat [N, C]: the embedding   `feature_channels`
    `classifier.hidden`  1024                flat [N, C]
    ===================  ==================  ===========================  ======================================

    `torch.export` and ONNX fix an axis that comes down to one pixel: to export for any size, give them an example of
    more than 16 `stem_stride` pixels along each axis.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the input.
        num_classes: length of the output.
        width: multiplies every channel count, rounded to a multiple of 8; `classifier.hidden` never gets narrower than
            1024.
        stem_stride: stride of the first convolution, one number or one for each axis; 1 suits tiles of 32 pixels, whose
            last map is a single pixel at 2 (which batch normalisation cannot train on at batch size 1).
        dropout: probability that an entry of `classifier.hidden` is dropped before the last layer.
        norm: normalisation, as in MONAI's `get_norm_layer`: a name, or a name and its arguments. The paper's moving
            averages are slow, `("batch", {"momentum": 0.01})`, which suits long training only.

    Raises:
        ConfigError: a size that no network can have.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MobileNetV3Small
        >>> net = MobileNetV3Small(spatial_dims=2, in_channels=3, num_classes=7, stem_stride=1).eval()
        >>> net(torch.zeros(1, 3, 32, 32)).shape, net.stage_channels
        (torch.Size([1, 7]), (16, 24, 48, 96))
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
        check_sizes("MobileNetV3Small", spatial_dims, in_channels, num_classes, width)
        stride = stem_stride if isinstance(stem_stride, int) else tuple(stem_stride)
        channels = round_channels(16 * width)
        hardswish = nn.Hardswish  # MONAI's Act factory has none
        stem = conv_norm_act(spatial_dims, in_channels, channels, 3, stride, norm=norm, act=hardswish)
        features: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
        stage_channels = []
        for number, rows in enumerate(STAGES, start=1):
            blocks = []
            for kernel_size, base_hidden, base_channels, squeeze, swish, block_stride in rows:
                hidden, out = round_channels(base_hidden * width), round_channels(base_channels * width)
                excite = SqueezeExcite(spatial_dims, hidden) if squeeze else None
                act = hardswish if swish else Act[Act.RELU]
                blocks.append(
                    InvertedResidual(spatial_dims, channels, hidden, out, kernel_size, block_stride, norm, act, excite)
                )
                channels = out
            features[f"stage{number}"] = nn.Sequential(*blocks)
            stage_channels.append(channels)
        self.stage_channels = tuple(stage_channels)
        self.feature_channels = 6 * channels
        features["head"] = conv_norm_act(spatial_dims, channels, self.feature_channels, norm=norm, act=hardswish)
        self.features = nn.Sequential(features)
        self.pool = nn.Sequential(Pool[Pool.ADAPTIVEAVG, spatial_dims](1), nn.Flatten(1))
        hidden = round_channels(1024 * max(1.0, width))
        self.classifier = nn.Sequential(
            OrderedDict(
                hidden=nn.Linear(self.feature_channels, hidden),
                act=hardswish(),
                dropout=nn.Dropout(dropout),
                output=nn.Linear(hidden, num_classes),
            )
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        he_initialise(self)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Classify `input` [N, in_channels, *spatial], of any spatial size, to logits [N, num_classes]."""
        return self.classifier(self.pool(self.features(input)))
