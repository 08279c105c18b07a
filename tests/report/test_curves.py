# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from monai_kd.report.curves import Bar, Line, interval_chart, line_chart
from monai_kd.report.svg import nice_ticks, shorten

NAN = float("nan")


def points(chart: ET.Element, of: int = 0) -> np.ndarray:
    line = chart.findall("polyline")[of]
    return np.array([[float(v) for v in point.split(",")] for point in line.get("points").split()])


def ticks(chart: ET.Element, style: str) -> dict[float, ET.Element]:
    """The texts of an axis that are numbers."""
    texts = {t.text.replace("−", "-"): t for t in chart.findall("text") if t.get("class") == style}
    return {float(number): text for number, text in texts.items()}


def test_points_lie_where_the_axes_say():
    chart = line_chart([Line("a", [1, 2, 4], [0.2, 0.9, 0.4], "c-t0")], "a chart")
    up, drawn = ticks(chart, "end"), points(chart)
    for (_, y), value in zip(drawn, [0.2, 0.9, 0.4], strict=True):
        low, high = min(up), max(up)
        y_low, y_high = float(up[low].get("y")), float(up[high].get("y"))
        assert y + 3.5 == pytest.approx(y_low + (value - low) / (high - low) * (y_high - y_low), abs=0.2)
    assert (drawn[1, 0] - drawn[0, 0]) * 2 == pytest.approx(drawn[2, 0] - drawn[1, 0], abs=0.2)


def test_everything_stays_inside_the_picture():
    generator = np.random.default_rng(0)
    chart = line_chart([Line("a", np.arange(9), generator.normal(size=9) * 10**k, "c-t0") for k in range(3)], "chart")
    _, _, width, height = map(float, chart.get("viewBox").split())
    for i in range(3):
        assert (points(chart, i) >= 0).all() and (points(chart, i) <= [width, height]).all()


def test_gaps_are_left_out():
    chart = line_chart([Line("a", [1, 2, 3], [0.1, NAN, 0.3], "c-t0")], "chart")
    assert len(points(chart)) == 2


def test_a_single_point_is_a_dot_and_none_is_said():
    assert line_chart([Line("a", [1], [0.5], "c-t0")], "chart").find("circle") is not None
    assert line_chart([Line("a", [1], [NAN], "c-t0")], "chart").find("text").text == "no finite value"


def test_interval_chart_places_mean_points_and_whisker():
    chart = interval_chart([Bar("x", [-0.1, 0.3], 0.1, -0.2, 0.4, "c-d0")], "chart", "gain", zero=True)
    whisker = next(line for line in chart.findall("line") if "whisker" in line.get("class"))
    zero = next(line for line in chart.findall("line") if line.get("class") == "zero")
    left, right = float(whisker.get("x1")), float(whisker.get("x2"))
    assert float(zero.get("x1")) == pytest.approx(left + (right - left) / 3, abs=0.2)
    mean = float(chart.find("rect").get("x")) + 1.5
    assert mean == pytest.approx((left + right) / 2, abs=0.2)
    first, second = (float(c.get("cx")) for c in chart.findall("circle"))
    assert (first + second) / 2 == pytest.approx(mean, abs=0.2)
    assert "+0.100" in [t.text for t in chart.findall("text")]


def test_zero_is_on_the_axis_of_differences_only():
    bars = [Bar("x", [], 0.7, 0.6, 0.8, "c-d0")]
    assert 0 in ticks(interval_chart(bars, "chart", "gain", zero=True), "mid")
    assert 0 not in ticks(interval_chart(bars, "chart", "score"), "mid")


def test_interval_chart_without_a_number_draws_only_names():
    chart = interval_chart([Bar("x", [NAN], NAN, NAN, NAN, "c-d0")], "chart", "score")
    assert chart.find("circle") is None and chart.find("rect") is None
    assert "undefined" in [t.text for t in chart.findall("text")]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-0.013, 0.004), (12, 12), (0, 0), (1e-9, 3e-9), (-5e6, 2e6), (3, 10)]
)
def test_ticks_enclose_and_are_few_and_even(low, high):
    found = nice_ticks(low, high)
    assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-12
    assert 2 <= len(found) <= 7
    assert np.diff(found) == pytest.approx(np.diff(found)[0])


def test_long_names_are_cut():
    assert shorten("attention", 9) == "attention"
    assert shorten("attention transfer", 9) == "attentio…"
