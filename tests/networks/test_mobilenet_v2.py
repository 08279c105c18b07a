# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.networks import MobileNetV2
from monai_kd.networks.mobilenet_v2 import InvertedResidual, round_channels
from tests.networks.mobilenet_checks import MobileNetChecks, count


class TestMobileNetV2(MobileNetChecks):
    build = MobileNetV2
    batches = 1


@pytest.mark.parametrize(("width", "parameters"), [(1.0, 3_504_872), (0.5, 1_968_680)])
def test_parameters_of_the_paper(width, parameters):
    assert count(MobileNetV2(2, 3, 1000, width)) == parameters


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_stages_have_the_channels_and_strides_they_say(width):
    network = MobileNetV2(2, 1, 2, width).eval()
    x = network.features.stem(torch.randn(1, 1, 64, 96))
    for number, (channels, stride) in enumerate(zip(network.stage_channels, (2, 4, 8, 16, 32), strict=True), start=1):
        x = network.features.get_submodule(f"stage{number}")(x)
        assert x.shape == (1, channels, 64 // stride, 96 // stride)
    assert network.pool(network.features.head(x)).shape == (1, network.feature_channels)


def test_stage_channels_of_the_paper():
    assert MobileNetV2(2, 1, 2).stage_channels == (16, 24, 32, 96, 320)


def test_width_rounds_to_eight_but_never_below_ninety_percent():
    for channels in range(1, 400):
        rounded = round_channels(channels)
        assert rounded % 8 == 0 and rounded >= max(8, 0.9 * channels) and rounded < channels + 8
    assert count(MobileNetV2(3, 1, 2, 0.25)) < count(MobileNetV2(3, 1, 2, 0.5)) < count(MobileNetV2(3, 1, 2))


def test_inverted_residual_is_expand_filter_project_add():
    torch.manual_seed(0)
    block, x = InvertedResidual(2, 4, 8, 4, norm="").double(), torch.randn(2, 4, 5, 6, dtype=torch.float64)
    expand, depthwise, project = (layer[0].weight for layer in block.layers)
    wide = torch.einsum("oc,nchw->nohw", expand[:, :, 0, 0], x).clamp(0, 6)
    padded, filtered = nn.functional.pad(wide, (1, 1, 1, 1)), torch.zeros_like(wide)
    for i in range(3):
        for j in range(3):
            filtered += depthwise[None, :, 0, i, j, None, None] * padded[:, :, i : i + 5, j : j + 6]
    expected = x + torch.einsum("oc,nchw->nohw", project[:, :, 0, 0], filtered.clamp(0, 6))
    torch.testing.assert_close(block(x), expected)


def test_no_residual_where_shapes_differ():
    assert InvertedResidual(2, 8, 16, 8).residual
    assert not InvertedResidual(2, 8, 16, 8, stride=2).residual and not InvertedResidual(2, 8, 16, 16).residual


def test_same_seed_same_weights_and_reset_draws_new_ones():
    torch.manual_seed(0)
    first = MobileNetV2(2, 1, 2, 0.25)
    torch.manual_seed(0)
    second = MobileNetV2(2, 1, 2, 0.25)
    assert first.features.stem.conv.weight.equal(second.features.stem.conv.weight)
    second.reset_parameters()
    assert not first.features.stem.conv.weight.equal(second.features.stem.conv.weight)


def test_other_normalisations():
    network = MobileNetV2(2, 1, 2, 0.25, norm=("group", {"num_groups": 4}))
    assert network.features.stem.norm.num_groups == 4 and not list(network.buffers())
