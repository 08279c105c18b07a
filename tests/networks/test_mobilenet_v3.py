# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.networks import MobileNetV3Small
from monai_kd.networks.mobilenet_v3 import SqueezeExcite
from tests.networks.mobilenet_checks import MobileNetChecks, count


class TestMobileNetV3Small(MobileNetChecks):
    build = MobileNetV3Small
    batches = 30


def test_parameters_of_the_paper():
    assert count(MobileNetV3Small(2, 3, 1000)) == 2_542_856
    assert round(count(MobileNetV3Small(2, 3, 1000, 0.75)) / 1e6, 1) == 2.0  # table 3


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_stages_have_the_channels_and_strides_they_say(width):
    network = MobileNetV3Small(2, 1, 2, width).eval()
    x = network.features.stem(torch.randn(1, 1, 64, 96))
    for number, (channels, stride) in enumerate(zip(network.stage_channels, (4, 8, 16, 32), strict=True), start=1):
        x = network.features.get_submodule(f"stage{number}")(x)
        assert x.shape == (1, channels, 64 // stride, 96 // stride)
    assert network.pool(network.features.head(x)).shape == (1, network.feature_channels)


def test_stage_channels_of_the_paper():
    assert MobileNetV3Small(2, 1, 2).stage_channels == (16, 24, 48, 96)


def test_early_stages_use_relu_and_deep_ones_hard_swish():
    network = MobileNetV3Small(2, 1, 2)
    relu, swish = network.features[1:3], nn.ModuleList([network.features[0], *network.features[3:], network.classifier])
    acts = [block.layers.depthwise.act for stage in relu for block in stage]
    assert len(acts) == 3 and all(isinstance(act, nn.ReLU) for act in acts)
    assert sum(isinstance(layer, nn.Hardswish) for layer in swish.modules()) == 1 + 2 * 8 + 1 + 1
    assert not any(isinstance(layer, nn.Hardswish) for layer in relu.modules())


def test_squeeze_excite_matches_plain_loop():
    torch.manual_seed(0)
    block, x = SqueezeExcite(3, 16).double(), 5 * torch.randn(2, 16, 3, 4, 5, dtype=torch.float64)
    first, second = block.weight.squeeze, block.weight.excite
    for n in range(2):
        mean = torch.stack([x[n, c].sum() / 60 for c in range(16)])
        hidden = (first.weight[:, :, 0, 0, 0] @ mean + first.bias).clamp(min=0)
        weight = ((second.weight[:, :, 0, 0, 0] @ hidden + second.bias + 3) / 6).clamp(0, 1)
        for c in range(16):
            torch.testing.assert_close(block(x)[n, c], x[n, c] * weight[c])
