# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.networks import MonteCarloTeacher, Teacher
from monai_kd.utils import ConfigError


@pytest.mark.parametrize("dims", [2, 3])
def test_is_a_distribution_without_a_graph(dims):
    conv = (nn.Conv2d, nn.Conv3d)[dims - 2](1, 3, 1)
    probability = MonteCarloTeacher(Teacher(conv), samples=3)(torch.randn(2, 1, *[4] * dims))
    assert probability.shape == (2, 3, *[4] * dims) and not probability.requires_grad
    torch.testing.assert_close(probability.sum(1), torch.ones(2, *[4] * dims))


def test_is_the_mean_over_noisy_images():
    class Note(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            return torch.cat([x, -x], 1)

    note, image = Note(), torch.zeros(1, 1, 200)
    probability = MonteCarloTeacher(Teacher(note), samples=4, std=0.1)(image)
    noise = torch.cat(note.seen)
    assert len(noise) == 4 and noise.abs().max() <= 0.2 and 0.05 < noise.std() < 0.15
    torch.testing.assert_close(probability, torch.stack([torch.cat([x, -x], 1).softmax(1) for x in note.seen]).mean(0))


def test_holds_the_teacher_without_its_parameters():
    network = MonteCarloTeacher(Teacher(nn.Conv2d(1, 3, 1)))
    assert not list(network.parameters()) and not network.state_dict()


def test_what_is_no_teacher_is_refused():
    with pytest.raises(ConfigError, match="a Teacher is wanted, got Conv2d"):
        MonteCarloTeacher(nn.Conv2d(1, 3, 1))
    with pytest.raises(ConfigError, match="samples and std must be positive"):
        MonteCarloTeacher(Teacher(nn.Conv2d(1, 3, 1)), samples=0)
