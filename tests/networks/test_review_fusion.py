# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch

from monai_kd.networks import ReviewFusion
from monai_kd.utils import ConfigError


def maps(dims: int, channels: tuple[int, ...], size: int = 8) -> list[torch.Tensor]:
    return [torch.randn(2, c, *[size // 2**i] * dims) for i, c in enumerate(channels)]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_gives_every_teacher_stage_its_shape(dims, stages):
    student, teacher = maps(dims, (2, 3, 4)[:stages], 4), maps(dims, (5, 6, 7)[:stages])
    fusion = ReviewFusion(dims, [x.shape[1] for x in student], [x.shape[1] for x in teacher], channels=4)
    assert [y.shape for y in fusion(*student, *teacher)] == [t.shape for t in teacher]


def test_maps_need_not_be_cubes():
    student, teacher = (
        [torch.randn(2, 2, 8, 3), torch.randn(2, 3, 4, 2)],
        [torch.randn(2, 4, 9, 5), torch.randn(2, 5, 3, 5)],
    )
    fused = ReviewFusion(2, [2, 3], [4, 5], channels=4)(*student, *teacher)
    assert [y.shape for y in fused] == [t.shape for t in teacher]


def test_the_shallow_answer_hears_of_the_deep_stage_and_not_the_other_way_round():
    student, teacher = maps(2, (2, 3)), maps(2, (4, 5))
    fusion = ReviewFusion(2, [2, 3], [4, 5], channels=4).eval()
    before = fusion(*student, *teacher)
    deeper = fusion(student[0], student[1] + 1, *teacher)
    assert not torch.equal(deeper[0], before[0]) and not torch.equal(deeper[1], before[1])
    shallower = fusion(student[0] + 1, student[1], *teacher)
    assert not torch.equal(shallower[0], before[0]) and torch.equal(shallower[1], before[1])


def test_the_teachers_values_are_not_read():
    student, teacher = maps(2, (2, 3)), maps(2, (4, 5))
    fusion = ReviewFusion(2, [2, 3], [4, 5], channels=4).eval()
    one, other = fusion(*student, *teacher), fusion(*student, *(t * torch.nan for t in teacher))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_gradient_reaches_every_parameter_and_copies_answer_the_same():
    student, teacher = maps(2, (2, 3, 4)), maps(2, (4, 5, 6))
    fusion = ReviewFusion(2, [2, 3, 4], [4, 5, 6], channels=4)
    sum(y.square().sum() for y in fusion(*student, *teacher)).backward()
    assert all(p.grad is not None for p in fusion.parameters())
    fusion.eval()
    pairs = zip(copy.deepcopy(fusion)(*student, *teacher), fusion(*student, *teacher), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_stages_must_pair():
    with pytest.raises(ConfigError, match="student has 2 stages, teacher 1"):
        ReviewFusion(2, [2, 3], [4])
    with pytest.raises(ConfigError, match="2 maps are wanted, got 1"):
        ReviewFusion(2, [2], [4])(torch.zeros(1, 2, 4, 4))
