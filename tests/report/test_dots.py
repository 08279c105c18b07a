# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest

from monai_kd.report.dots import Lane, dot_chart

NAN = float("nan")


def chart(*lanes: Lane, lower: bool = False):
    names = [f"case{i}" for i in range(len(lanes[0].values))]
    return dot_chart(lanes, names, "Dice", "c-d0", 3, lower)


def dots(drawn) -> np.ndarray:
    return np.array([[float(c.get("cx")), float(c.get("cy"))] for c in drawn.findall("circle")])


def test_a_dot_for_each_case_where_the_axis_says():
    values = [-0.02, 0.0, 0.01, 0.04]
    drawn = chart(Lane("front", values, 0.0075, -0.01, 0.03))
    x = dots(drawn)[:, 0]
    zero = next(float(line.get("x1")) for line in drawn.findall("line") if line.get("class") == "zero")
    scale = (x[3] - zero) / 0.04
    assert x == pytest.approx([zero + scale * value for value in values], abs=0.2)
    assert float(drawn.find("rect").get("x")) + 1.5 == pytest.approx(zero + scale * 0.0075, abs=0.2)
    whisker = next(line for line in drawn.findall("line") if "whisker" in line.get("class"))
    ends = float(whisker.get("x1")), float(whisker.get("x2"))
    assert ends == pytest.approx((zero - scale * 0.01, zero + scale * 0.03), abs=0.2)
    assert [c.find("title").text for c in drawn.findall("circle")][::3] == ["case0: −0.020", "case3: +0.040"]


def test_equal_differences_stand_side_by_side():
    found = dots(chart(Lane("front", [0.01] * 5, 0.01, NAN, NAN)))
    apart = [math.dist(a, b) for i, a in enumerate(found) for b in found[:i]]
    assert min(apart) >= 4.7  # a dot's diameter


@pytest.mark.parametrize("count", [1, 60, 1000])
def test_every_dot_stays_in_its_lane(count):
    generator = np.random.default_rng(0)
    lanes = [Lane(name, np.round(generator.normal(size=count), 1).tolist(), 0.0, NAN, NAN) for name in "ab"]
    drawn = chart(*lanes)
    first, second = np.split(dots(drawn), 2)
    assert first[:, 1].min() >= 0 and first[:, 1].max() < second[:, 1].min()
    assert (dots(drawn)[:, 0] <= float(drawn.get("width"))).all()


def test_better_is_counted_on_its_side():
    lane = Lane("front", [-0.1, -0.2, 0.0, 0.3], 0.0, NAN, NAN)
    for lower, said in ((False, "1 of 4 better"), (True, "2 of 4 better")):
        assert said in [text.text for text in chart(lane, lower=lower).findall("text")]
    assert not [line for line in chart(lane).findall("line") if "whisker" in line.get("class")]
