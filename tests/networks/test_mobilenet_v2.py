# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle

import monai
import pytest
import torch
from torch import nn

from monai_kd.networks import MobileNetV2
from monai_kd.networks.mobilenet_v2 import InvertedResidual, round_channels
from monai_kd.utils import ConfigError


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def seen(network: nn.Module, *shape: int) -> nn.Module:
    """The network in eval mode after one training batch, so that its outputs are not all but zero."""
    network.train()(torch.randn(4, *shape))
    return network.eval()


@pytest.mark.parametrize(("width", "parameters"), [(1.0, 3_504_872), (0.5, 1_968_680)])
def test_parameters_of_the_paper(width, parameters):
    assert count(MobileNetV2(2, 3, 1000, width)) == parameters


def test_name_is_not_monais():
    assert not hasattr(monai.networks.nets, "MobileNetV2")


@pytest.mark.parametrize("shape", [(65,), (32, 32), (33, 70), (1, 1), (16, 16, 16), (9, 32, 17)])
def test_any_spatial_size(shape):
    network = MobileNetV2(len(shape), 2, 5, width=0.25).eval()
    assert network(torch.randn(2, 2, *shape)).shape == (2, 5)


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


@pytest.mark.parametrize(("stem_stride", "size"), [(1, (2, 2, 2)), (2, (1, 1, 1)), ([1, 2, 2], (2, 1, 1))])
def test_stem_stride(stem_stride, size):
    network = MobileNetV2(3, 1, 2, 0.25, stem_stride).eval()
    assert network.features(torch.randn(1, 1, 32, 32, 32)).shape[2:] == size


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


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = MobileNetV2(2, 3, 4, 0.25, stem_stride=1)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_no_layer_overwrites_what_was_tapped():
    network, noted = MobileNetV2(2, 1, 2, 0.25), []
    for layer in network.modules():
        layer.register_forward_hook(lambda _, __, output: noted.append((output, output._version, output.clone())))
    network(torch.randn(2, 1, 33, 33))
    assert all(tensor._version == version and tensor.equal(value) for tensor, version, value in noted)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("way", ["script", "fx", "deepcopy", "pickle", "channels_last"])
def test_copies_answer_the_same(dims, way):
    torch.manual_seed(0)
    network, x = seen(MobileNetV2(dims, 1, 3, 0.25), 1, *[33] * dims), torch.randn(2, 1, *[33] * dims)
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    ways = {
        "script": torch.jit.script,
        "fx": torch.fx.symbolic_trace,
        "deepcopy": copy.deepcopy,
        "pickle": lambda net: pickle.loads(pickle.dumps(net)),
        "channels_last": lambda net: copy.deepcopy(net).to(memory_format=layout),
    }
    expected = network(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(ways[way](network)(x), expected)


def free(dims: int) -> dict:
    """Batch and space are of any size in what is exported."""
    return dict.fromkeys((0, *range(2, dims + 2)), torch.export.Dim.DYNAMIC)


@pytest.mark.parametrize("dims", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_exported_program_answers_the_same_at_other_sizes(dims):
    torch.manual_seed(0)
    network = seen(MobileNetV2(dims, 1, 3, 0.25), 1, *[33] * dims)
    program = torch.export.export(network, (torch.randn(2, 1, *[40] * dims),), dynamic_shapes=(free(dims),)).module()
    x = torch.randn(3, 1, *range(47, 47 + dims))
    torch.testing.assert_close(program(x), network(x))


@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
def test_onnx_answers_the_same_at_other_sizes(dims, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = seen(MobileNetV2(dims, 1, 3, 0.25), 1, *[33] * dims)
    example, path = torch.randn(2, 1, *[40] * dims), str(tmp_path / "model.onnx")
    torch.onnx.export(network, (example,), path, dynamic_shapes=(free(dims),), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = torch.randn(3, 1, *range(47, 47 + dims))
    (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), network(x), atol=1e-4, rtol=1e-4)


def test_same_seed_same_weights_and_reset_draws_new_ones():
    torch.manual_seed(0)
    first = MobileNetV2(2, 1, 2, 0.25)
    torch.manual_seed(0)
    second = MobileNetV2(2, 1, 2, 0.25)
    assert first.features.stem.conv.weight.equal(second.features.stem.conv.weight)
    second.reset_parameters()
    assert not first.features.stem.conv.weight.equal(second.features.stem.conv.weight)


def test_dropout_acts_in_training_only():
    network = MobileNetV2(2, 1, 2, 0.25, dropout=1.0)
    x = torch.randn(2, 1, 64, 64)
    assert network.train()(x).equal(torch.zeros(2, 2)) and not network.eval()(x).equal(torch.zeros(2, 2))


def test_other_normalisations():
    network = MobileNetV2(2, 1, 2, 0.25, norm=("group", {"num_groups": 4}))
    assert network.features.stem.norm.num_groups == 4 and not list(network.buffers())


@pytest.mark.parametrize("wrong", [{"spatial_dims": 4}, {"in_channels": 0}, {"num_classes": 0}, {"width": -1.0}])
def test_impossible_size_is_named(wrong):
    with pytest.raises(ConfigError, match=f"MobileNetV2: {next(iter(wrong))} must be"):
        MobileNetV2(**{"spatial_dims": 2, "in_channels": 1, "num_classes": 2, **wrong})
