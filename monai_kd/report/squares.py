# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_kd.metrics import ReliabilityBins
from monai_kd.report.markup import Node, node
from monai_kd.report.svg import picture, shorten, stroke, words

__all__ = ["heat_matrix", "reliability_chart"]


def reliability_chart(bins: ReliabilityBins, label: str, style: str) -> Node:
    """Draw a reliability diagram: how often a network is right against how sure it is, above the number of cases.

    Args:
        bins: as `monai_kd.metrics.reliability_bins` gives them.
        label: what the picture shows, for readers who cannot see it.
        style: class of the bars' colour.
    """
    side, left, top, strip = 232, 52, 8, 36
    bars, width = [], side / len(bins.count)
    for i, count in enumerate(bins.count):
        if not count:
            continue
        x, tall = left + side * bins.edges[i], side * float(bins.accuracy[i])
        note = f"{count} cases: sure {bins.confidence[i]:.2f}, right {bins.accuracy[i]:.2f}"
        share = strip * count / bins.count.max()
        bars.append(
            node(
                "rect",
                node("title", note),
                x=x + 1,
                y=top + side - tall,
                width=width - 2,
                height=max(tall, 1.0),
                class_=f"bar {style}",
            )
        )
        bars.append(
            node(
                "circle",
                cx=left + side * float(bins.confidence[i]),
                cy=top + side - tall,
                r="2.6",
                class_=f"point {style}",
            )
        )
        bars.append(
            node("rect", x=x + 1, y=top + side + 8 + strip - share, width=width - 2, height=share, class_="count")
        )
    axis: list[Node] = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = top + side * (1 - tick)
        axis += [stroke(left, y, left + side, y, "rule"), words(left - 6, y + 3.5, f"{tick:g}", class_="end")]
        axis.append(words(left + side * tick, top + side + strip + 24, f"{tick:g}", class_="mid"))
    diagonal = stroke(left, top + side, left + side, top, "diagonal")
    names = [
        words(left + side / 2, top + side + strip + 40, "how sure (probability)", class_="mid name"),
        words(0, 0, "how often right", class_="mid name", transform=f"translate(10 {top + side / 2:.0f}) rotate(-90)"),
    ]
    return picture(left + side + 12, top + side + strip + 46, label, axis, bars, diagonal, names)


def heat_matrix(matrix: np.ndarray, names: Sequence[str], label: str, style: str) -> Node:
    """Draw a confusion matrix: cases in each cell, shaded by their share of the true class.

    Args:
        matrix: counts, [C, C], true classes down, predicted classes across.
        names: of the classes.
        label: what the picture shows, for readers who cannot see it.
        style: class of the cells' colour.
    """
    count, share = len(matrix), matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    left, top = 26 + 6.3 * min(12, max(map(len, names))), 24
    cell = max(16.0, min(68.0, 240 / count))
    drawn: list[Node] = []
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        drawn.append(words(left - 7, top + middle + 4, shorten(name, 12), class_="end"))
        drawn.append(words(left + middle, top - 7, shorten(name, max(2, int(cell / 6.5))), class_="mid"))
        for j, other in enumerate(names):
            note = f"true {name}, predicted {other}: {matrix[i, j]} ({share[i, j]:.0%} of the true class)"
            drawn += _cell(left + j * cell, top + i * cell, cell, matrix[i, j], share[i, j], note, style)
    names_of_axes = [
        words(left + cell * count / 2, top + cell * count + 17, "predicted class", class_="mid name"),
        words(
            0, 0, "true class", class_="mid name", transform=f"translate(11 {top + cell * count / 2:.0f}) rotate(-90)"
        ),
    ]
    return picture(left + cell * count + 6, top + cell * count + 22, label, drawn, names_of_axes)


def _cell(x: float, y: float, side: float, count: int, share: float, note: str, style: str) -> list[Node]:
    """A square shaded by its share of the true class, with the share and the count written into it as room allows."""
    box = {"x": x + 1, "y": y + 1, "width": side - 2, "height": side - 2, "rx": "3"}
    heat = node("rect", node("title", note), **box, class_=f"heat {style}", style=f"--share: {share:.3f}")
    x, y = x + side / 2, y + side / 2
    if side >= 40:
        texts = [words(x, y, f"{share:.0%}", class_="mid strong"), words(x, y + 14, str(count), class_="mid small ink")]
    else:
        texts = [words(x, y + 4, str(count), class_="mid strong")] if side >= 22 else []
    return [node("rect", **box, class_="blank"), heat, *texts]
