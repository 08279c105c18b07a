# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
from monai.networks.nets import UNet
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_kd.utils import DistillationError, UnknownLayerError, find_layer, is_compiled, unique, unwrap
from tests.nets import Classifier


@pytest.fixture
def alone():
    """A process group of this one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_finds_a_layer_by_its_path():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    assert find_layer(network, "1.1") is network[1][1]


def test_finds_every_layer_of_a_recursive_network():
    network = UNet(spatial_dims=2, in_channels=1, out_channels=2, channels=(2, 4, 4), strides=(2, 2))
    for path, layer in network.named_modules():
        if path:
            assert find_layer(network, path) is layer


def test_an_unknown_layer_names_the_network_and_the_nearest_layers():
    with pytest.raises(UnknownLayerError, match=r"Classifier: no layer 'hed'.*did you mean 'head'.*'conv'"):
        find_layer(Classifier(), "hed")


@pytest.mark.parametrize("path", ["", "conv.weight", "forward", "head."])
def test_what_is_no_layer_is_refused(path):
    with pytest.raises(UnknownLayerError):
        find_layer(Classifier(), path)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_network_has_no_layer_to_tap_and_the_error_says_so():
    with pytest.raises(DistillationError, match=r"conv.*TorchScript|TorchScript.*conv"):
        find_layer(torch.jit.script(nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 1, 1)))), "conv")


def test_unwraps_compile_and_ddp_in_any_order(alone):
    network = Classifier(norm=False)
    compiled, parallel = torch.compile(network, backend="eager"), DistributedDataParallel(network)
    for wrapped in (network, compiled, parallel, torch.compile(parallel, backend="eager")):
        assert unwrap(wrapped) is network
    assert unwrap(DistributedDataParallel(compiled)) is network


def test_knows_what_is_compiled(alone):
    network = Classifier(norm=False)
    compiled = torch.compile(network, backend="eager")
    assert is_compiled(compiled) and is_compiled(DistributedDataParallel(compiled))
    assert not is_compiled(network) and not is_compiled(DistributedDataParallel(network))


def test_unique_keeps_the_order_and_equal_tensors_apart():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    found = unique([b, a, b, a])
    assert len(found) == 2 and found[0] is b and found[1] is a
