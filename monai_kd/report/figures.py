# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from monai_kd.metrics import confusion_matrix, reliability_bins
from monai_kd.report.curves import Bar, Line, interval_chart, line_chart
from monai_kd.report.dots import Lane, dot_chart
from monai_kd.report.files import ROLES
from monai_kd.report.markup import Node, node
from monai_kd.report.results import Comparison, Row
from monai_kd.report.runs import Run
from monai_kd.report.squares import heat_matrix, reliability_chart
from monai_kd.report.tables import Group, tint
from monai_kd.report.text import decimal

__all__ = ["calibration", "cases", "confusions", "curves", "difference_chart", "examples", "score_chart"]

LIMIT = 12  #: example cases of one setting


def score_chart(group: Group, rows: Sequence[Row], key: str) -> Node:
    """Draw a score of each row of a setting: every seed, the mean, its interval."""
    bars = [
        Bar(row.title, row.scores[key].seeds, row.scores[key].mean, *row.intervals[key][1:3], tint(row, rows))
        for row in group.rows
    ]
    measure = rows[0].task.scores[key]
    return interval_chart(bars, f"{measure.name} of each network", measure.axis, digits=measure.digits)


def difference_chart(comparison: Comparison, rows: Sequence[Row]) -> Node:
    """Draw the differences distilled minus alone, in the unit of the primary score: every seed, mean, interval."""
    measures, style = comparison.task.scores, tint(comparison.distilled, rows)
    primary = measures[comparison.task.primary]
    bars = [
        Bar(measures[key].name, comparison.scores[key].seeds, *span[:3], style)
        for key, span in comparison.intervals.items()
        if measures[key].unit == primary.unit
    ]
    return interval_chart(bars, "distilled minus alone", "distilled minus alone", zero=True, digits=primary.digits)


def cases(group: Group, rows: Sequence[Row], comparisons: Sequence[Comparison]) -> list[Node]:
    """Draw the differences distilled minus alone of each test case, a figure for each comparison and kind of score."""
    figures = []
    for comparison in (c for c in comparisons if c.by_case and any(c.distilled is row for row in group.rows)):
        row, measures = comparison.distilled, comparison.task.scores
        names, style = row.runs[0].case.tolist(), tint(row, rows)
        for label in dict.fromkeys(measures[key].label for key in comparison.by_case):
            keys = [key for key in comparison.by_case if measures[key].label == label]
            lanes = [
                Lane(measures[key].of or "mean", comparison.by_case[key].tolist(), *comparison.intervals[key][:3])
                for key in keys
            ]
            kind = measures[keys[0]]
            label = f"{kind.axis}, distilled minus alone"
            chart = dot_chart(lanes, names, label, style, kind.digits, kind.lower)
            aside = f"{kind.label}, better {'left' if kind.lower else 'right'} of zero"
            figures.append(_figure(" · ".join(part for part in (row.title, row.recipe) if part), aside, chart))
    return figures


def _over_seeds(runs: Sequence[Run], column: str) -> tuple[np.ndarray, np.ndarray, list[Run]]:
    """The epochs that any run has, the mean of a column over the runs that have it there, and those runs."""
    having = [run for run in runs if column in run.history]
    epochs = np.unique(np.concatenate([run.history["epoch"] for run in having]))
    table = np.full((len(having), len(epochs)), np.nan)
    for i, run in enumerate(having):
        table[i, np.searchsorted(epochs, run.history["epoch"])] = run.history[column]
    known = ~np.isnan(table)
    total, count = np.where(known, table, 0).sum(0), known.sum(0)
    return epochs, np.where(count, total / np.maximum(count, 1), np.nan), having


def _columns(rows: Sequence[Row], kind: Callable[[str], bool]) -> list[str]:
    return [
        c for c in dict.fromkeys(c for row in rows for run in row.runs for c in run.history) if c != "epoch" and kind(c)
    ]


def _legend(entries: Sequence[tuple[str, str]]) -> Node:
    return node(
        "ul", [node("li", node("span", class_=f"key {style}"), name) for name, style in entries], class_="legend"
    )


def curves(group: Group, rows: Sequence[Row]) -> list[Node]:
    """Draw what the runs of a setting recorded: validation columns of all rows, training columns of students.

    Args:
        group: the rows of one setting.
        rows: all rows of the page.
    """
    figures = []
    for column in _columns(group.rows, lambda name: name.startswith("val_")):
        lines, shown = [], []
        for row in (row for row in group.rows if _columns([row], column.__eq__)):
            epochs, mean, having = _over_seeds(row.runs, column)
            single = [
                Line(f"{row.title}, seed {r.seed}", r.history["epoch"], r.history[column], f"thin {tint(row, rows)}")
                for r in having
            ]
            lines += (single if len(single) > 1 else []) + [Line(row.title, epochs, mean, tint(row, rows))]
            shown.append((row.title, tint(row, rows)))
        name = column.replace("val_", "validation ").replace("_", " ")
        figures.append(_figure(name, "", line_chart(lines, f"{name} by epoch"), _legend(shown)))
    students = [row for row in group.rows if row.role != "teacher"]
    for row in students or group.rows:
        terms = _columns([row], lambda name: not name.startswith("val_"))
        if terms:
            styles = [f"c-t{i % 6}" for i in range(len(terms))]
            lines = [
                Line(term, *_over_seeds(row.runs, term)[:2], style) for term, style in zip(terms, styles, strict=True)
            ]
            chart = line_chart(lines, f"training terms of {row.title} by epoch")
            figures.append(_figure(row.title, "training terms", chart, _legend(list(zip(terms, styles, strict=True)))))
    return figures


def _figure(caption: str, aside: str, *content: Node) -> Node:
    return node("figure", node("figcaption", caption, node("small", aside) if aside else None), *content, class_="card")


def _pooled(row: Row) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.concatenate(arrays) for arrays in zip(*(run.tested for run in row.runs), strict=True))
    return first, second


def calibration(group: Group, rows: Sequence[Row]) -> list[Node]:
    """Draw the reliability diagram of each row, its seeds pooled."""
    charts = [
        reliability_chart(reliability_bins(*_pooled(r)), f"reliability of {r.title}", tint(r, rows)) for r in group.rows
    ]
    return [
        _figure(r.title, f"ECE {decimal(r.scores['ece'].mean)}", c) for r, c in zip(group.rows, charts, strict=True)
    ]


def confusions(group: Group, rows: Sequence[Row]) -> list[Node]:
    """Draw the confusion matrix of each row, its seeds added up."""
    charts = [
        heat_matrix(confusion_matrix(*_pooled(r)), r.runs[0].classes, f"confusions of {r.title}", tint(r, rows))
        for r in group.rows
    ]
    return [_figure(r.title, f"{len(_pooled(r)[0])} answers", c) for r, c in zip(group.rows, charts, strict=True)]


def _image(pixels: np.ndarray, what: str) -> Node:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return node("img", src=f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", alt=what)


def examples(group: Group) -> list[Node]:
    """Show example cases of a setting, from the first run that recorded some, a distilled one if possible."""
    runs = [run for row in reversed(group.rows) for run in row.runs if run.examples and run.setting == group.setting]
    if not runs:
        return []
    arrays, names = runs[0].examples, runs[0].classes

    def called(index: int) -> str:
        return names[index] if 0 <= index < len(names) else str(index)

    cards = []
    for i in range(min(LIMIT, len(arrays["images"]))):
        pictures = [
            _image(arrays[k][i], what)
            for k, what in (("images", "what the student sees"), ("privileged", "what only the teacher sees"))
            if k in arrays
        ]
        truth = int(arrays["label"][i])
        lines = [node("div", node("span", "label"), node("span", called(truth)), class_="answer truth")]
        for role in (role for role in ROLES if role in arrays):
            answer = int(arrays[role][i])
            right = answer == truth
            said = node("span", f"{called(answer)} {'✓' if right else '✗'}", class_="right" if right else "wrong")
            lines.append(node("div", node("span", role), said, class_="answer"))
        cards.append(node("div", node("div", pictures, class_="shots"), lines, class_="card case"))
    return cards
