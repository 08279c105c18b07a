# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch

from monai_kd.networks import MaskedGeneration
from monai_kd.utils import ConfigError


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [False, True])
def test_gives_the_teachers_shape(dims, channels):
    generation = MaskedGeneration(dims, 3, 5, channels=channels)
    assert generation(torch.randn(2, 3, *[6] * dims)).shape == (2, 5, *[6] * dims)
    assert generation(torch.randn(2, 3, *[6] * dims), torch.randn(2, 5, *[4] * dims)).shape == (2, 5, *[4] * dims)


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("drop", [0.2, 0.5, 0.8])
def test_hides_whole_places_or_whole_channels(channels, drop):
    generation = MaskedGeneration(2, 3, 5, drop=drop, channels=channels)
    seen = []
    generation.generate.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generation(torch.randn(40, 3, 4, 4))
    hidden = seen[0] == 0
    assert abs(hidden.float().mean() - drop) < 0.15
    assert torch.equal(hidden, hidden[:, :, :1, :1].expand_as(hidden) if channels else hidden[:, :1].expand_as(hidden))


def test_hides_nothing_in_eval_mode_and_differently_each_time_in_training():
    generation, x = MaskedGeneration(2, 3, 5, drop=0.9), torch.randn(2, 3, 8, 8)
    assert not torch.equal(generation(x), generation(x))
    generation.eval()
    assert torch.equal(generation(x), generation.generate(generation.align(x)))
    assert torch.equal(copy.deepcopy(generation)(x), generation(x))


def test_gradient_reaches_every_parameter():
    generation = MaskedGeneration(2, 3, 5)
    generation(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generation.parameters())


@pytest.mark.parametrize("drop", [-0.1, 1.0, float("nan")])
def test_impossible_parts_are_refused(drop):
    with pytest.raises(ConfigError, match=r"drop must be in \[0, 1\)"):
        MaskedGeneration(2, 3, 5, drop=drop)
