# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.metrics import reliability_bins
from monai_kd.report.squares import heat_matrix, reliability_chart


def test_bars_are_as_tall_as_their_bin_is_right():
    bins = reliability_bins([0, 0, 1, 0], [[0.9, 0.1]] * 3 + [[0.4, 0.6]], bins=5)
    chart = reliability_chart(bins, "chart", "c-alone")
    bars = [rect for rect in chart.findall("rect") if "bar" in rect.get("class")]
    scale = next(line for line in chart.findall("line") if line.get("class") == "diagonal")
    side = float(scale.get("x2")) - float(scale.get("x1"))
    heights = [float(bar.get("height")) / side for bar in bars]
    assert heights == pytest.approx([1 / side, 2 / 3], abs=0.01)  # one pixel stands for "never right"
    dots = [(float(c.get("cx")) - float(scale.get("x1"))) / side for c in chart.findall("circle")]
    assert dots == pytest.approx([0.6, 0.9], abs=0.01)


def test_counts_are_drawn_to_scale():
    bins = reliability_bins([0] * 4, [[0.9, 0.1]] * 3 + [[0.4, 0.6]], bins=5)
    chart = reliability_chart(bins, "chart", "c-alone")
    small, tall = (float(r.get("height")) for r in chart.findall("rect") if r.get("class") == "count")
    assert tall == pytest.approx(3 * small)


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_matrix_shows_every_count_and_shades_by_row(classes):
    matrix = np.random.default_rng(0).integers(1, 50, size=(classes, classes))
    chart = heat_matrix(matrix, [f"class {i}" for i in range(classes)], "chart", "c-alone")
    heats = [rect for rect in chart.findall("rect") if "heat" in rect.get("class")]
    shares = [float(rect.get("style").removeprefix("--share: ")) for rect in heats]
    assert shares == pytest.approx((matrix / matrix.sum(1, keepdims=True)).ravel().tolist(), abs=1e-3)
    texts = [text.text for text in chart.findall("text")]
    assert all(str(count) in texts for count in matrix.ravel())


def test_many_classes_keep_their_numbers_as_hints():
    matrix = np.arange(30 * 30).reshape(30, 30)
    chart = heat_matrix(matrix, [str(i) for i in range(30)], "chart", "c-alone")
    titles = [rect.find("title").text for rect in chart.findall("rect") if rect.find("title") is not None]
    assert titles[31].startswith("true 1, predicted 1: 31 (")


def test_a_class_without_cases_is_no_division_by_zero():
    chart = heat_matrix(np.array([[2, 0], [0, 0]]), ["a", "b"], "chart", "c-alone")
    assert "nan" not in "".join(text.text for text in chart.findall("text"))
