# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses import LayerAttentionLoss
from monai_kd.networks import LayerAttention
from monai_kd.utils import ConfigError


def maps(dims: int = 2, n: int = 3) -> list[torch.Tensor]:
    student = [torch.randn(n, 2, *[8] * dims), torch.randn(n, 3, *[4] * dims)]
    teacher = [torch.randn(n, 4, *[8] * dims), torch.randn(n, 5, *[4] * dims), torch.randn(n, 6, *[2] * dims)]
    return [*student, *teacher]


def build(dims: int = 2, features: int | None = 8) -> LayerAttention:
    return LayerAttention(dims, [2, 3], [4, 5, 6], features=features)


@pytest.mark.parametrize("features", [8, None])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_attention_sums_to_one_and_distances_are_positive(dims, features):
    answer = build(dims, features)(*maps(dims))
    assert answer["distance"].shape == answer["attention"].shape == (3, 2, 3)
    assert (answer["distance"] > 0).all()
    torch.testing.assert_close(answer["attention"].sum(2), torch.ones(3, 2))


def test_distance_is_that_of_the_translated_map():
    attention, given = build().eval(), maps()
    answer = attention(*given)
    translated = attention.phi[3](given[1])  # 4 x 4, the teacher's first layer is 8 x 8
    pooled = torch.nn.functional.avg_pool2d(given[2], 2)
    for n in range(3):
        pairs = zip(translated[n].flatten().tolist(), pooled[n].flatten().tolist(), strict=True)
        expected = sum((a - b) ** 2 for a, b in pairs) / pooled[n].numel()
        assert answer["distance"][n, 1, 0].item() == pytest.approx(expected, rel=1e-5)


def test_attention_is_that_of_queries_and_keys():
    attention, given = build(), maps()
    weights = attention(*given)["attention"]
    q = attention.query[0](given[0])[1].tolist()
    keys = [attention.key[j](given[2 + j])[1].tolist() for j in range(3)]
    powers = [math.exp(sum(a * b for a, b in zip(q, k, strict=True))) for k in keys]
    for j in range(3):
        assert weights[1, 0, j].item() == pytest.approx(powers[j] / sum(powers), rel=1e-5)


def test_learnt_numbers_start_even():
    weights = build(features=None)(*maps())["attention"]
    assert torch.equal(weights, torch.full((3, 2, 3), 1 / 3))


@pytest.mark.parametrize("features", [8, None])
def test_gradient_reaches_what_learns_but_not_the_teacher(features):
    attention, given = build(features=features), [x.requires_grad_() for x in maps()]
    answer = attention(*given)
    LayerAttentionLoss()(answer["distance"], answer["attention"]).backward()
    assert all(p.grad is not None for p in attention.parameters())
    assert all(x.grad.abs().max() > 0 for x in given[:2]) and all(x.grad is None for x in given[2:])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="student has 0 layers, teacher 1"):
        LayerAttention(2, [], [3])
    with pytest.raises(ConfigError, match="5 maps are wanted, got 4"):
        build()(*maps()[:4])
