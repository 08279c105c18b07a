# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from monai_kd.metrics import count_flops, count_parameters, cpu_latency, file_bytes
from monai_kd.utils.errors import CheckpointError


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 5, 3)
    )


def test_parameters_are_counted_by_hand(network):
    assert count_parameters(network) == (4 * 2 * 9 + 4) + 2 * 4 + (100 * 3 + 3)


def test_a_shared_layer_is_counted_once():
    layer = nn.Linear(3, 3)
    assert count_parameters(nn.Sequential(layer, layer)) == 12


def test_flops_are_counted_by_hand_for_one_case(network):
    by_hand = 2 * (5 * 5 * 4) * (2 * 9) + 2 * 100 * 3
    assert count_flops(network, torch.zeros(7, 2, 5, 5)) == by_hand


def test_flops_of_a_volume():
    assert count_flops(nn.Conv3d(1, 2, 3), torch.zeros(1, 1, 4, 4, 4)) == 2 * (2 * 8) * 27


def test_counting_leaves_the_network_as_it_was(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_flops(network, torch.randn(1, 2, 5, 5))
    cpu_latency(network, torch.randn(1, 2, 5, 5), seconds=0.01)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_latency_is_in_milliseconds_and_of_one_case():
    class Sleeper(nn.Module):
        def forward(self, x):
            assert len(x) == 1 and not self.training
            time.sleep(0.02)
            return x

    assert 20 <= cpu_latency(Sleeper(), torch.zeros(4, 1), seconds=0.1) < 200


def test_file_size(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x" * 123)
    assert file_bytes(tmp_path / "model.pt") == 123
    with pytest.raises(CheckpointError, match=r"missing\.pt"):
        file_bytes(tmp_path / "missing.pt")
