# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from functools import partial

import pytest

from monai_kd.utils import ConfigError, constant, cosine, geometric, linear, ramp_up, step

EPOCHS = [-3, 0, 1, 2.5, 7, 10, 11, 1000]


def clipped(t: float, length: float) -> float:
    return max(0.0, min(t, length))


@pytest.mark.parametrize("t", EPOCHS)
def test_ramp_up_is_the_papers_formula(t):
    expected = 3 * math.exp(-5 * (1 - clipped(t, 10) / 10) ** 2)
    assert ramp_up(10, peak=3)(t) == pytest.approx(expected)


@pytest.mark.parametrize("t", EPOCHS)
def test_linear_is_the_line_between_its_ends(t):
    assert linear(10, 4.0, 1.0)(t) == pytest.approx(4 - 3 * clipped(t, 10) / 10)


@pytest.mark.parametrize("t", EPOCHS)
def test_cosine_is_half_a_wave(t):
    assert cosine(10, 4.0, 1.0)(t) == pytest.approx(2.5 + 1.5 * math.cos(math.pi * clipped(t, 10) / 10))


def test_geometric_multiplies_by_one_factor():
    schedule = geometric(10, 1e-5, 0.1)
    assert [schedule(t + 1) / schedule(t) for t in range(10)] == pytest.approx([10**0.4] * 10)
    assert schedule(1e9) == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="positive"):
        geometric(10, 0.0)


@pytest.mark.parametrize(("t", "value"), [(0, 0.5), (9, 0.5), (9.99, 0.5), (10, 2.0), (99, 2.0)])
def test_step_changes_at_its_epoch(t, value):
    assert step(10, before=0.5, after=2.0)(t) == value


@pytest.mark.parametrize("t", EPOCHS)
def test_constant_is_constant(t):
    assert constant(0.3)(t) == 0.3


@pytest.mark.parametrize(
    "schedule", [ramp_up(0, 2.0), linear(0, 1.0, 2.0), cosine(0, 1.0, 2.0), geometric(0, 1.0, 2.0), step(0, 1.0, 2.0)]
)
def test_length_zero_is_over_at_once(schedule):
    assert schedule(0) == 2.0 and schedule(5) == 2.0


@pytest.mark.parametrize(
    "schedule", [ramp_up(7, 0.3), linear(7, 0.1, 0.3), cosine(7, 0.1, 0.3), geometric(7, 0.1, 0.3), step(7, 0.1, 0.3)]
)
def test_the_end_is_reached_exactly(schedule):
    assert schedule(7) == pytest.approx(0.3, abs=1e-15)


@pytest.mark.parametrize("schedule", [ramp_up, linear, cosine, partial(geometric, start=0.1), step])
@pytest.mark.parametrize("length", [-1, float("nan")])
def test_a_length_that_is_none_is_refused(schedule, length):
    with pytest.raises(ConfigError, match=">= 0"):
        schedule(length)


@pytest.mark.parametrize("schedule", [ramp_up(5), linear(5), cosine(5), step(5), constant(1)])
def test_is_a_pure_function(schedule):
    there = [schedule(t) for t in range(8)]
    assert [schedule(t) for t in reversed(range(8))] == there[::-1]
