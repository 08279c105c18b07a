# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monai_kd.report.markup import Node, node
from monai_kd.report.svg import nice_ticks, picture, shorten, stroke, words
from monai_kd.report.text import decimal, signed

__all__ = ["Bar", "Line", "interval_chart", "line_chart"]


class Line(NamedTuple):
    """A curve; points with a nan are left out."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    style: str  #: classes of the style sheet: the colour, and `thin` for a single seed


class Bar(NamedTuple):
    """A mean with its interval and the points it is the mean of: a line of `interval_chart`."""

    name: str
    points: Sequence[float]
    value: float
    low: float
    high: float
    style: str


def line_chart(lines: Sequence[Line], label: str, x_label: str = "epoch") -> Node:
    """Draw curves over one pair of axes.

    Args:
        lines: the curves; those with no point are left out.
        label: what the picture shows, for readers who cannot see it.
        x_label: name of the horizontal axis.
    """
    width, height, left, right, top, bottom = 348, 214, 44, 10, 10, 34
    points = [[(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x + y)] for line in lines]
    flat = [p for curve in points for p in curve]
    if not flat:
        return picture(width, height, label, words(width / 2, height / 2, "no finite value", class_="mid"))
    across, up = nice_ticks(min(x for x, _ in flat), max(x for x, _ in flat)), nice_ticks(*_range([y for _, y in flat]))
    x0, x1 = min(x for x, _ in flat), max(max(x for x, _ in flat), min(x for x, _ in flat) + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x0) / (x1 - x0) * (width - left - right),
            height - bottom - (y - up[0]) / (up[-1] - up[0]) * (height - top - bottom),
        )

    frame: list[Node] = []
    for tick in up:
        y = place(x0, tick)[1]
        frame += [stroke(left, y, width - right, y, "rule"), words(left - 7, y + 3.5, f"{tick:g}", class_="end")]
    for tick in (t for t in across if x0 <= t <= x1 and t == int(t)):
        frame.append(words(place(tick, 0)[0], height - bottom + 16, f"{tick:g}", class_="mid"))
    frame.append(words((left + width - right) / 2, height - 3, x_label, class_="mid name"))
    curves = []
    for line, curve in zip(lines, points, strict=True):
        placed = [place(x, y) for x, y in curve]
        title = node("title", line.name)
        if len(placed) == 1:
            curves.append(node("circle", title, cx=placed[0][0], cy=placed[0][1], r="3", class_=f"dot {line.style}"))
        elif placed:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            curves.append(node("polyline", title, points=path, class_=f"curve {line.style}"))
    return picture(width, height, label, frame, curves)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.0 if high > low else max(0.05, abs(low) / 10)
    return low - pad, high + pad


def interval_chart(bars: Sequence[Bar], label: str, x_label: str, zero: bool = False, digits: int = 3) -> Node:
    """Draw means with their intervals and single points, one line for each, above one axis.

    Args:
        bars: from top to bottom.
        label: what the picture shows, for readers who cannot see it.
        x_label: name of the axis.
        zero: whether zero is on the axis, with a line to mark it.
        digits: of the means.
    """
    step, left, right, width = 30, 24 + 7.2 * min(24, max(len(bar.name) for bar in bars)), 84, 490
    height = step * len(bars) + 44
    values = [v for bar in bars for v in (*bar.points, bar.value, bar.low, bar.high) if math.isfinite(v)]
    ticks = nice_ticks(*_range([*values, 0.0] if zero or not values else values))

    def place(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (width - left - right)

    base = step * len(bars) + 6
    axis = [
        part
        for tick in ticks
        for part in (
            stroke(place(tick), 2, place(tick), base, "zero" if zero and tick == 0 else "rule"),
            words(place(tick), base + 15, f"{tick:g}".replace("-", "−"), class_="mid"),
        )
    ]
    axis.append(words((left + width - right) / 2, height - 4, x_label, class_="mid name"))
    drawn = []
    for i, bar in enumerate(bars):
        y = step * (i + 0.5) + 4
        drawn.append(words(left - 12, y + 4, shorten(bar.name, 24), class_="end strong"))
        if math.isfinite(bar.low + bar.high):
            drawn.append(stroke(place(bar.low), y, place(bar.high), y, f"whisker {bar.style}"))
        finite = [p for p in bar.points if math.isfinite(p)]
        drawn += [node("circle", cx=place(p), cy=float(y), r="3.2", class_=f"seed {bar.style}") for p in finite]
        drawn.append(
            words(width - right + 14, y + 4, (signed if zero else decimal)(bar.value, digits), class_="strong")
        )
        if math.isfinite(bar.value):
            drawn.append(
                node(
                    "rect",
                    node("title", f"{bar.name}: {decimal(bar.value, digits)}"),
                    x=place(bar.value) - 1.5,
                    y=float(y - 8),
                    width="3",
                    height="16",
                    rx="1.5",
                    class_=f"dot {bar.style}",
                )
            )
    return picture(width, height, label, axis, drawn)
