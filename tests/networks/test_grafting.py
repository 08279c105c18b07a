# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DenseNet, ResNet, UNet
from torch import nn

from monai_kd.networks import Grafting, check_chain
from monai_kd.utils import ConfigError, UnknownLayerError

DENSE = [f"features.denseblock{i}" for i in (1, 2, 3)]
RES = ["layer2", "layer3", "layer4"]


def densenet(dims: int, width: int) -> nn.Module:
    return DenseNet(dims, 1, 3, init_features=2 * width, growth_rate=width, block_config=(1, 1, 1), bn_size=2)


def resnet(dims: int, width: int) -> nn.Module:
    channels = [width, 2 * width, 3 * width, 4 * width]
    return ResNet("basic", [1, 1, 1, 1], channels, spatial_dims=dims, n_input_channels=1, num_classes=3)


def grafting(student: nn.Module, host: nn.Module, stages: list[str], channels: list[list[int]], dims: int) -> Grafting:
    return Grafting(student, host, stages, stages, *channels, spatial_dims=dims)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("net", "stages", "channels"), [(densenet, DENSE, (3, 2.5, 2.25)), (resnet, RES, (2, 3, 4))])
def test_grafts_of_monais_networks_learn_at_each_position(dims, net, stages, channels):
    student, host = net(dims, 4), net(dims, 8)
    graft = grafting(student, host, stages, [[int(w * c) for c in channels] for w in (4, 8)], dims)
    x, learnt = torch.rand(2, 1, *[32] * dims), set()
    for position in range(graft.positions):
        graft.position = position
        graft.zero_grad()
        graft(x).sum().backward()
        now = {name for name, p in student.named_parameters() if p.grad is not None}
        alone = position <= len(stages)
        assert now and (not alone or not now & learnt)  # stage 1: every block by itself
        learnt = learnt | now if alone else now
    assert learnt == {name for name, _ in student.named_parameters()}
    torch.testing.assert_close(graft.eval()(x), student(x))


def test_a_block_of_the_hosts_own_weights_changes_nothing():
    host = resnet(2, 4).eval()
    graft = grafting(host, host, RES, [[8, 12, 16], [8, 12, 16]], 2).eval()
    for adapter in (*graft.to_student, *graft.to_host):
        width = len(adapter.conv.weight)
        adapter.conv.weight.data = torch.eye(width).reshape(width, width, 1, 1)
        adapter.conv.bias.data.zero_()
    x = torch.rand(2, 1, 32, 32)
    for position in range(graft.positions):
        graft.position = position
        torch.testing.assert_close(graft(x), host(x))


def test_host_takes_another_picture_and_other_sizes():
    student = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    host = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    graft = grafting(student, host, ["0"], [[4], [6]], 2)
    for position in range(graft.positions):
        graft.position = position
        assert graft(torch.rand(2, 1, 9, 9), torch.rand(2, 3, 12, 12)).shape == (2, 3)


def test_modes_and_the_host_stay_as_they_were():
    student, host = densenet(2, 2), densenet(2, 4)
    before = {key: value.clone() for key, value in host.state_dict().items()}
    graft = grafting(student, host, DENSE, [[6, 5, 4], [12, 10, 9]], 2)
    graft.position = 1
    graft(torch.rand(2, 1, 16, 16)).sum().backward()
    assert all(layer.training for layer in [*student.modules(), *host.modules()])
    assert all(value.equal(before[key]) for key, value in host.state_dict().items())
    assert not any(key.startswith("host") for key in graft.state_dict())
    assert student.features.norm5.num_batches_tracked == 0  # the head did not run
    assert student.features.transition1.norm.num_batches_tracked == 1


def test_epochs_are_divided_and_the_whole_student_is_never_left_out():
    graft = grafting(densenet(2, 2), densenet(2, 4), DENSE, [[6, 5, 4], [12, 10, 9]], 2)
    assert [graft.schedule(12)(t) for t in range(12)] == [0, 1, 2, 3, 4, 5] + 6 * [6]
    assert [graft.schedule(8, whole=0.25)(t) for t in range(8)] == list(range(6)) + 2 * [6]
    assert [graft.schedule(1)(0), graft.schedule(2)(1)] == [6, 6]
    graft.position = 7
    with pytest.raises(ConfigError, match="position 7"):
        _ = graft.blocks


def test_a_network_that_is_no_chain_is_refused():
    x = torch.rand(2, 1, 16, 16)
    unet = UNet(2, 1, 3, channels=(4, 8, 16), strides=(2, 2))
    with pytest.raises(ConfigError, match=r"submodule\.0.*passes it by"):
        check_chain(unet, ["model.0", "model.1.submodule.0"], x)
    net = densenet(2, 2)
    with pytest.raises(ConfigError, match="the stages ran as"):
        check_chain(net, DENSE[::-1], x)
    with pytest.raises(ConfigError, match=r"denselayer1.*passes it by"):
        check_chain(net, ["features.denseblock1.denselayer1.layers"], x)
    with pytest.raises(UnknownLayerError, match="denseblock9"):
        Grafting(net, net, ["features.denseblock9"], DENSE[:1], [6], [6], 2)
    with pytest.raises(ConfigError, match="one number of each"):
        Grafting(net, net, DENSE, DENSE[:1], [6], [6], 2)
    with pytest.raises(ConfigError, match="passes it by"):
        grafting(unet, unet, ["model.1.submodule.0"], [[8], [8]], 2)(x)
