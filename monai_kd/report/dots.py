# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monai_kd.report.markup import Node, node
from monai_kd.report.svg import nice_ticks, picture, shorten, stroke, words
from monai_kd.report.text import signed

__all__ = ["Lane", "dot_chart"]

RADIUS, TALL = 2.4, 62  #: of a dot; height of a lane


class Lane(NamedTuple):
    """The differences of all cases, their mean and its interval: a line of `dot_chart`."""

    name: str
    values: Sequence[float]
    value: float
    low: float
    high: float


def dot_chart(lanes: Sequence[Lane], cases: Sequence[str], label: str, style: str, digits: int, lower: bool) -> Node:
    """Draw differences of two networks, a dot for each case, in lanes above one axis with a line at zero.

    Args:
        lanes: from top to bottom.
        cases: names of the cases, a dot's hint.
        label: name of the axis, and what the picture shows, for readers who cannot see it.
        style: class of the colour.
        digits: of the numbers.
        lower: whether a case is better below zero.
    """
    left, right, width = 24 + 7.2 * min(16, max(len(lane.name) for lane in lanes)), 112, 490
    height, base = TALL * len(lanes) + 44, TALL * len(lanes) + 6
    values = [v for lane in lanes for v in (0.0, *lane.values, lane.low, lane.high) if math.isfinite(v)]
    ticks = nice_ticks(min(values), max(values))

    def place(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (width - left - right)

    axis: list[Node] = []
    for tick in ticks:
        axis.append(stroke(place(tick), 2, place(tick), base, "zero" if tick == 0 else "rule"))
        axis.append(words(place(tick), base + 15, f"{tick:g}".replace("-", "−"), class_="mid"))
    axis.append(words((left + width - right) / 2, height - 4, label, class_="mid name"))
    drawn: list[Node] = []
    for i, lane in enumerate(lanes):
        y = TALL * (i + 0.5) + 4
        drawn.append(words(left - 12, y + 4, shorten(lane.name, 16), class_="end strong"))
        if math.isfinite(lane.low + lane.high):
            drawn.append(stroke(place(lane.low), y, place(lane.high), y, f"whisker {style}"))
        heights = _stacked([place(value) for value in lane.values])
        for case, value, offset in zip(cases, lane.values, heights, strict=True):
            hint = node("title", f"{case}: {signed(value, digits)}")
            drawn.append(node("circle", hint, cx=place(value), cy=y + offset, r=RADIUS, class_=f"bar {style}"))
        x = place(lane.value)
        drawn.append(node("rect", x=x - 1.5, y=float(y - 10), width="3", height="20", rx="1.5", class_=f"dot {style}"))
        better = sum(value < 0 if lower else value > 0 for value in lane.values)
        drawn.append(words(width - right + 12, y - 2, signed(lane.value, digits), class_="strong"))
        drawn.append(words(width - right + 12, y + 13, f"{better} of {len(lane.values)} better"))
    return picture(width, height, label, axis, drawn)


def _stacked(places: Sequence[float]) -> Iterator[float]:
    """How far above or below the middle each dot lies, so that dots of one place stand side by side within a lane."""
    columns = [int(place // (2 * RADIUS)) for place in places]
    step = min(2 * RADIUS, (TALL - 10) / max(Counter(columns).values()))
    met: dict[int, int] = {}
    for column in columns:
        rank = met[column] = met.get(column, -1) + 1
        yield (rank + 1) // 2 * step * (1 if rank % 2 else -1)
