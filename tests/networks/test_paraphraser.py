# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import Paraphraser, Translator
from monai_kd.utils import ConfigError


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_factors_fit_each_other(dims):
    teacher, student = torch.randn(2, 6, *[4] * dims), torch.randn(2, 3, *[7] * dims)
    answer = Paraphraser(dims, 6, rate=0.5)(teacher)
    assert answer["reconstruction"].shape == teacher.shape
    assert answer["factor"].shape == (2, 3, *[4] * dims)
    translator = Translator(dims, 3, teacher_channels=6, rate=0.5)
    assert translator(student, teacher).shape == answer["factor"].shape
    assert translator(student).shape == (2, 3, *[7] * dims)


def test_layers_are_as_leaky_as_the_papers():
    for network, count in ((Paraphraser(2, 4), 5), (Translator(2, 3, 4), 3)):
        leaky = [layer for layer in network.modules() if isinstance(layer, torch.nn.LeakyReLU)]
        assert [layer.negative_slope for layer in leaky] == [0.1] * count


def test_learns_to_say_a_map_back():
    paraphraser, x = Paraphraser(2, 4, rate=1.0), torch.randn(4, 4, 6, 6)
    optimizer = torch.optim.Adam(paraphraser.parameters(), lr=0.01)
    errors = []
    for _ in range(60):
        error = (paraphraser(x)["reconstruction"] - x).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]


def test_a_factor_is_never_empty():
    assert Paraphraser(2, 2, rate=0.1)(torch.randn(2, 2, 4, 4))["factor"].shape[1] == 1


@pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, float("nan")])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ConfigError, match=r"rate must be in \(0, 1\]"):
        Paraphraser(2, 4, rate=rate)
    with pytest.raises(ConfigError, match=r"rate must be in \(0, 1\]"):
        Translator(2, 4, 4, rate=rate)
