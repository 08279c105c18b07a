# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle

import monai
import pytest
import torch
from monai.networks.nets import SegResNet

from monai_kd.inferers import Pass
from monai_kd.metrics import count_flops, count_parameters
from monai_kd.networks import LiteUNet
from monai_kd.networks.lite_unet import separable
from monai_kd.utils import ConfigError


def lite(dims: int = 2, **options) -> LiteUNet:
    return LiteUNet(dims, 1, 3, **{"channels": (4, 8, 16), **options})


def test_name_is_not_monais():
    assert not hasattr(monai.networks.nets, "LiteUNet")


@pytest.mark.parametrize("size", [(16,), (16, 24), (17, 5), (8, 12, 20), (9, 7, 11)])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_answers_at_the_size_of_the_input(size, stem_stride):
    assert lite(len(size), stem_stride=stem_stride).eval()(torch.randn(2, 1, *size)).shape == (2, 3, *size)


def test_a_separable_convolution_filters_then_mixes():
    block, x = separable(2, 3, 5, norm="").double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    depthwise, pointwise = block.depthwise.conv.weight, block.pointwise.conv.weight
    padded, filtered = torch.nn.functional.pad(x, (1, 1, 1, 1)), torch.zeros_like(x)
    for i in range(3):
        for j in range(3):
            filtered += depthwise[None, :, 0, i, j, None, None] * padded[:, :, i : i + 4, j : j + 6]
    mixed = torch.einsum("oc,nchw->nohw", pointwise[:, :, 0, 0], filtered.clamp(min=0)).clamp(min=0)
    torch.testing.assert_close(block(x), mixed)


@pytest.mark.parametrize("dims", [2, 3])
def test_layers_to_tap_have_the_channels_and_sizes_they_say(dims):
    network = lite(dims).eval()
    taps = {path.replace(".", "_"): path for path in (*network.encoder_layers, *network.decoder_layers)}
    noted = Pass(taps=taps).run("p", network, [torch.randn(1, 1, *[16] * dims)])
    for part, stages in (("encoder", 3), ("decoder", 2)):
        for i in range(stages):
            expected = (1, (4, 8, 16)[i], *[16 // 2**i] * dims)
            assert noted[f"p.{part}_stage{i + 1}"].shape == expected


def test_a_tenth_of_a_segresnet():
    teacher = SegResNet(3, init_filters=16, in_channels=1, out_channels=3, blocks_down=(1, 2, 2), blocks_up=(1, 1))
    student, x = LiteUNet(3, 1, 3, channels=(16, 32, 64)), torch.zeros(1, 1, 40, 56, 40)
    assert count_parameters(student) * 10 <= count_parameters(teacher)
    assert count_flops(student.eval(), x) * 10 <= count_flops(teacher.eval(), x)


@pytest.mark.parametrize("dims", [2, 3])
def test_deep_supervision_stacks_the_smaller_answers_in_training_only(dims):
    network, x = lite(dims, deep_supervision=True), torch.randn(2, 1, *[12] * dims)
    stack = network(x)
    assert stack.shape == (2, 2, 3, *[12] * dims)
    plain = network.eval()(x)
    assert plain.shape == (2, 3, *[12] * dims)
    torch.testing.assert_close(stack[:, 0], plain)  # instance norm knows no modes


def test_gradient_reaches_every_parameter():
    network = lite(deep_supervision=True)
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_no_layer_overwrites_what_was_tapped():
    network, noted = lite(), []
    for layer in network.modules():
        layer.register_forward_hook(lambda _, __, output: noted.append((output, output._version, output.clone())))
    network(torch.randn(2, 1, 16, 16))
    assert all(tensor._version == version and tensor.equal(value) for tensor, version, value in noted)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("way", ["script", "deepcopy", "pickle", "channels_last"])
def test_copies_answer_the_same(dims, way):
    network, x = lite(dims, norm="batch"), torch.randn(2, 1, *range(12, 12 + dims))
    network(x)
    network.eval()
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    ways = {
        "script": torch.jit.script,
        "deepcopy": copy.deepcopy,
        "pickle": lambda net: pickle.loads(pickle.dumps(net)),
        "channels_last": lambda net: copy.deepcopy(net).to(memory_format=layout),
    }
    torch.testing.assert_close(ways[way](network)(x), network(x))


@pytest.mark.parametrize(
    "wrong",
    [
        {"spatial_dims": 4},
        {"in_channels": 0},
        {"out_channels": 0},
        {"channels": (8,)},
        {"channels": (8, 0)},
        {"stem_stride": 0},
    ],
)
def test_impossible_size_is_named(wrong):
    with pytest.raises(ConfigError, match=f"LiteUNet: {next(iter(wrong))} must be"):
        LiteUNet(**{"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **wrong})


def test_wrong_number_of_axes_is_named():
    with pytest.raises(ValueError, match="LiteUNet: the input has 3 axes, 4 are wanted"):
        lite()(torch.zeros(1, 8, 8))
