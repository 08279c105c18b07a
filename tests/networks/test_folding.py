# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import logging

import pytest
import torch
from monai.networks.nets import DenseNet121, DynUNet, ResNet, SegResNet, UNet
from torch import nn

from monai_kd.networks.folding import fold_batchnorm


def trained(network: nn.Module) -> nn.Module:
    """The network as if its BatchNorms had seen data: nothing in them is 0 or 1."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
    return network.eval()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


class TestFolding:
    @pytest.mark.parametrize(
        ("network", "shape", "count"),
        [
            (ResNet("basic", [1, 1, 1, 1], [4, 8, 8, 16], spatial_dims=2), (2, 3, 32, 32), 12),
            (ResNet("bottleneck", [1, 1, 1, 1], [4, 8, 8, 16], spatial_dims=3), (1, 3, 16, 16, 16), 17),
            (
                DenseNet121(spatial_dims=2, in_channels=1, out_channels=3, init_features=8, growth_rate=4),
                (1, 1, 32, 32),
                59,
            ),
            (UNet(2, 1, 3, (4, 8), (2,), num_res_units=1, norm="batch"), (1, 1, 8, 8), 3),
            (DynUNet(3, 1, 2, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 4, 4], norm_name="batch"), (1, 1, 8, 8, 8), 10),
        ],
        ids=["resnet 2d", "resnet 3d", "densenet", "unet", "dynunet"],
    )
    def test_answer_stays(self, network, shape, count):
        network, x = trained(network), torch.rand(shape)
        folded = copy.deepcopy(network)
        assert fold_batchnorm(folded) == count
        with torch.no_grad():
            assert relative(folded(x), network(x)) < 1e-4

    def test_network_without_batchnorm_is_left(self):
        assert fold_batchnorm(SegResNet(spatial_dims=2, init_filters=8, in_channels=1).eval()) == 0

    @pytest.mark.parametrize("tap", ["0.conv", "0.conv.inner", "1"])
    def test_tapped_pair_is_left(self, tap):
        network = nn.Sequential(nn.Sequential(), nn.BatchNorm2d(2), nn.ReLU())
        network[0].add_module("conv", nn.Sequential())
        network[0].conv.add_module("inner", nn.Conv2d(1, 2, 3))
        assert fold_batchnorm(copy.deepcopy(network).eval(), [tap]) == 0
        assert fold_batchnorm(network.eval(), ["2"]) == 1

    @pytest.mark.parametrize("tap", ["0", "1"])
    def test_taps_behind_the_batchnorm_keep_their_value(self, tap):
        block = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        network, x, noted = trained(nn.Sequential(block, nn.ReLU())), torch.rand(1, 1, 8, 8), []
        network.get_submodule(tap).register_forward_hook(lambda m, i, o: noted.append(o))
        network(x)
        assert fold_batchnorm(network, [tap]) == 1
        network(x)
        torch.testing.assert_close(noted[-1], noted[0])  # between them tracing saw the hook

    def test_convolution_with_two_readers_is_left(self):
        class Skip(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

            def forward(self, x):
                y = self.conv(x)
                return self.norm(y) + y

        assert fold_batchnorm(Skip().eval()) == 0

    def test_shared_convolution_is_left(self):
        conv = nn.Conv2d(1, 1, 1)
        assert fold_batchnorm(nn.Sequential(conv, nn.BatchNorm2d(1), conv, nn.BatchNorm2d(1)).eval()) == 0

    def test_layer_with_two_names_is_folded_under_both(self):
        class Alias(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
                self.second = self.first

            def forward(self, x):
                return self.norm(self.second(x))

        network, x = trained(Alias()), torch.rand(1, 1, 5, 5)
        before = network(x)
        assert fold_batchnorm(network) == 1
        torch.testing.assert_close(network(x), before)

    def test_hooked_layer_is_left(self):
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
        network[0].register_forward_hook(lambda m, i, o: None)
        assert fold_batchnorm(network) == 0

    @pytest.mark.parametrize("groups", [1, 2])
    def test_transposed_convolution(self, groups):
        network = trained(nn.Sequential(nn.ConvTranspose3d(2, 4, 2, 2, groups=groups, bias=False), nn.BatchNorm3d(4)))
        x = torch.rand(1, 2, 3, 3, 3)
        before = network(x)
        assert fold_batchnorm(network) == int(groups == 1)
        torch.testing.assert_close(network(x), before)

    def test_untraceable_network_is_left_and_logged(self, caplog):
        class Branch(nn.Sequential):
            def forward(self, x):
                return super().forward(x) if x.sum() > 0 else x

        with caplog.at_level(logging.INFO):
            assert fold_batchnorm(Branch(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()) == 0
        assert "Branch: BatchNorm not folded" in caplog.text
