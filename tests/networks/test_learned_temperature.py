# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import CurriculumKDLoss
from monai_kd.networks import LearnedTemperature
from monai_kd.utils import ConfigError


def test_stays_between_its_bounds():
    network = LearnedTemperature(start=2.0, range=6.0)
    for theta in (-100.0, 0.0, 100.0):
        with torch.no_grad():
            network.theta.fill_(theta)
        assert 2 <= network(torch.zeros(1)) <= 8


def test_gradient_is_turned_round_and_scaled():
    network, loss = LearnedTemperature(strength=0.5), CurriculumKDLoss()
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    loss(student, teacher, network(student)).backward()
    theta = network.theta.detach().clone().requires_grad_()
    loss(student, teacher, 1 + 20 * theta.sigmoid()).backward()
    torch.testing.assert_close(network.theta.grad, -0.5 * theta.grad)


def test_learning_makes_the_task_harder():
    torch.manual_seed(0)
    network, loss = LearnedTemperature(), CurriculumKDLoss()
    student, teacher = 4 * torch.randn(16, 5), 4 * torch.randn(16, 5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    values = []
    for _ in range(20):
        value = loss(student, teacher, network(student))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] > values[0]


@pytest.mark.parametrize("options", [{"start": 0.0}, {"range": -1.0}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} must be positive"):
        LearnedTemperature(**options)
