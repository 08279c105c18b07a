# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.metrics import agreement, cohen_kappa
from monai_kd.utils.errors import ClassMismatchError, DataError


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    teacher = generator.dirichlet(np.ones(3), size=80)
    return 0.6 * teacher + 0.4 * generator.dirichlet(np.ones(3), size=80), teacher


def test_matches_plain_loop(pair):
    student, teacher = ([row.index(max(row)) for row in p.tolist()] for p in pair)
    same = sum(s == t for s, t in zip(student, teacher, strict=True)) / 80
    chance = sum(student.count(c) / 80 * teacher.count(c) / 80 for c in range(3))
    assert agreement(*pair) == pytest.approx(same)
    assert cohen_kappa(*pair) == pytest.approx((same - chance) / (1 - chance))


def test_a_network_agrees_with_itself(pair):
    assert agreement(pair[0], pair[0]) == 1
    assert cohen_kappa(pair[0], pair[0]) == pytest.approx(1)


def test_student_and_teacher_may_change_places(pair):
    assert cohen_kappa(*pair) == pytest.approx(cohen_kappa(*pair[::-1]))


def test_kappa_of_independent_answers_is_near_zero():
    generator = np.random.default_rng(0)
    one, other = (generator.dirichlet(np.ones(3), size=5000) for _ in range(2))
    assert agreement(one, other) == pytest.approx(1 / 3, abs=0.03)
    assert abs(cohen_kappa(one, other)) < 0.04


def test_kappa_of_one_class_throughout_is_undefined():
    assert math.isnan(cohen_kappa([[0.9, 0.1]] * 3, [[0.8, 0.2]] * 3))


@pytest.mark.parametrize("metric", [agreement, cohen_kappa])
def test_refuses_what_cannot_be_compared(metric):
    with pytest.raises(ClassMismatchError, match="student has 2 classes, the teacher 3"):
        metric(np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(DataError, match=r"\[4, 2\] and \[3, 2\]"):
        metric(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match="nan"):
        metric(np.full((4, 2), np.nan), np.ones((4, 2)))
