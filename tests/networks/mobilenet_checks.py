# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is true of both MobileNets; a test file gives the class and adds what is its own."""

from __future__ import annotations

import copy
import pickle

import monai
import pytest
import torch
from torch import nn

from monai_kd.utils import ConfigError


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def free(dims: int) -> dict:
    """Batch and space are of any size in what is exported."""
    return dict.fromkeys((0, *range(2, dims + 2)), torch.export.Dim.DYNAMIC)


class MobileNetChecks:
    """Checks of a class of networks `build(spatial_dims, in_channels, num_classes, width=1.0, ...)`."""

    build: type[nn.Module]
    batches = 30  # training batches after which its outputs are not all but zero

    def seen(self, network: nn.Module, *shape: int) -> nn.Module:
        """The network in eval mode, with BatchNorm statistics."""
        network.train()
        for _ in range(self.batches):
            network(torch.randn(4, *shape))
        return network.eval()

    def test_name_is_not_monais(self):
        assert not hasattr(monai.networks.nets, self.build.__name__)

    @pytest.mark.parametrize("shape", [(65,), (32, 32), (33, 70), (1, 1), (16, 16, 16), (9, 32, 17)])
    def test_any_spatial_size(self, shape):
        network = self.build(len(shape), 2, 5, width=0.25).eval()
        assert network(torch.randn(2, 2, *shape)).shape == (2, 5)

    @pytest.mark.parametrize(("stem_stride", "size"), [(1, (2, 2, 2)), (2, (1, 1, 1)), ([1, 2, 2], (2, 1, 1))])
    def test_stem_stride(self, stem_stride, size):
        network = self.build(3, 1, 2, 0.25, stem_stride).eval()
        assert network.features(torch.randn(1, 1, 32, 32, 32)).shape[2:] == size

    def test_gradient_reaches_every_parameter(self):
        torch.manual_seed(0)
        network = self.build(2, 3, 4, 0.25, stem_stride=1)
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())

    def test_no_layer_overwrites_what_was_tapped(self):
        network, noted = self.build(2, 1, 2, 0.25), []
        for layer in network.modules():
            layer.register_forward_hook(lambda _, __, output: noted.append((output, output._version, output.clone())))
        network(torch.randn(2, 1, 33, 33))
        assert all(tensor._version == version and tensor.equal(value) for tensor, version, value in noted)

    @pytest.mark.parametrize("dims", [2, 3])
    @pytest.mark.parametrize("way", ["script", "fx", "deepcopy", "pickle", "channels_last"])
    def test_copies_answer_the_same(self, dims, way):
        torch.manual_seed(0)
        network, x = self.seen(self.build(dims, 1, 3, 0.25), 1, *[33] * dims), torch.randn(2, 1, *[33] * dims)
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

    @pytest.mark.parametrize("dims", [2, pytest.param(3, marks=pytest.mark.slow)])
    def test_exported_program_answers_the_same_at_other_sizes(self, dims):
        torch.manual_seed(0)
        network = self.seen(self.build(dims, 1, 3, 0.25), 1, *[33] * dims)
        program = torch.export.export(
            network, (torch.randn(2, 1, *[40] * dims),), dynamic_shapes=(free(dims),)
        ).module()
        x = torch.randn(3, 1, *range(47, 47 + dims))
        torch.testing.assert_close(program(x), network(x))

    @pytest.mark.slow
    @pytest.mark.parametrize("dims", [2, 3])
    def test_onnx_answers_the_same_at_other_sizes(self, dims, tmp_path):
        onnxruntime = pytest.importorskip("onnxruntime")
        torch.manual_seed(0)
        network = self.seen(self.build(dims, 1, 3, 0.25), 1, *[33] * dims)
        example, path = torch.randn(2, 1, *[40] * dims), str(tmp_path / "model.onnx")
        torch.onnx.export(network, (example,), path, dynamic_shapes=(free(dims),), dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        x = torch.randn(3, 1, *range(47, 47 + dims))
        (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(answer), network(x), atol=1e-4, rtol=1e-4)

    def test_dropout_acts_in_training_only(self):
        network = self.build(2, 1, 2, 0.25, dropout=1.0)
        x = torch.randn(2, 1, 64, 64)
        assert network.train()(x).equal(torch.zeros(2, 2)) and not network.eval()(x).equal(torch.zeros(2, 2))

    @pytest.mark.parametrize("wrong", [{"spatial_dims": 4}, {"in_channels": 0}, {"num_classes": 0}, {"width": -1.0}])
    def test_impossible_size_is_named(self, wrong):
        with pytest.raises(ConfigError, match=f"{self.build.__name__}: {next(iter(wrong))} must be"):
            self.build(**{"spatial_dims": 2, "in_channels": 1, "num_classes": 2, **wrong})
