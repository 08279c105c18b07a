# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

from monai_kd.report.markup import Node, node

__all__ = ["nice_ticks", "picture", "shorten", "stroke", "words"]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) that enclose `low` to `high`.

    Example::

        >>> from monai_kd.report.svg import nice_ticks
        >>> nice_ticks(0.47, 0.81)
        [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    """
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= count + 1e-9)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]


def shorten(name: str, length: int) -> str:
    """Cut a name to `length` letters."""
    return name if len(name) <= length else name[: length - 1] + "…"


def picture(width: float, height: float, label: str, *children: Any) -> Node:
    """A drawing of that many pixels; `label` says what it shows to readers who cannot see it."""
    return node(
        "svg", *children, viewBox=f"0 0 {width:.0f} {height:.0f}", width=f"{width:.0f}", role="img", aria_label=label
    )


def words(x: float, y: float, text: str, **attributes: Any) -> Node:
    """A text at a point; the style sheet aligns and colours it by its class."""
    return node("text", text, x=float(x), y=float(y), **attributes)


def stroke(x1: float, y1: float, x2: float, y2: float, style: str) -> Node:
    """A straight line of one class of the style sheet."""
    return node("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=style)
