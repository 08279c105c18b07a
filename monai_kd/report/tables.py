# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from monai_kd.metrics import Interval
from monai_kd.report.markup import Node, node
from monai_kd.report.results import Comparison, Row, Score
from monai_kd.report.tasks import Task
from monai_kd.report.text import MISSING, decimal, interval, p_value, quantity, signed

__all__ = ["Group", "grouped", "results_table", "tint"]

AGREEMENT = ("Agreement with the teacher", "Cohen’s κ")
COSTS = (
    ("Parameters", ""),
    ("FLOPs", "per case"),
    ("CPU latency", "batch 1"),
    ("File size", ""),
)


class Group(NamedTuple):
    """What is shown side by side: the students of one setting, below the teachers they can be held against."""

    setting: str
    rows: list[Row]


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Sort rows by setting; a setting without a teacher of its own shows all teachers.

    Args:
        rows: as `rows_of` gives them.
    """
    teachers = [row for row in rows if row.role == "teacher"]
    settings = list(dict.fromkeys(row.setting for row in rows if row.role != "teacher"))
    if not settings:
        return [Group(name, [r for r in teachers if r.setting == name]) for name in {r.setting: 0 for r in teachers}]
    groups = []
    for setting in settings:
        own = [row for row in teachers if row.setting == setting]
        students = [row for row in rows if row.setting == setting and row.role != "teacher"]
        groups.append(Group(setting, (own or teachers) + students))
    return groups


def tint(row: Row, rows: Sequence[Row]) -> str:
    """Return the class of a row's colour: one for teachers, one for the student alone, one for each recipe.

    Args:
        row: to colour.
        rows: all rows of the page.
    """
    if row.role != "distilled":
        return f"c-{row.role}"
    recipes = list(dict.fromkeys(r.recipe for r in rows if r.role == "distilled"))
    return f"c-d{recipes.index(row.recipe) % 5}"


def _cell(main: str, *below: str) -> Node:
    return node("td", main, [node("small", line) for line in below if line])


def _columns(task: Task) -> list[tuple[str, str]]:
    measures = [task.scores[key] for key in task.columns]
    scores = [(f"{m.label[0].upper()}{m.label[1:]} {'↓' if m.lower else '↑'}", m.below) for m in measures]
    return [("Network", ""), *scores, *([AGREEMENT] if task.likeness else []), *COSTS]


def _spread(score: Score, digits: int) -> str:
    return f"± {decimal(score.spread, digits)}" if len(score.seeds) > 1 else ""


def _span(span: Interval, write=decimal) -> str:
    undefined = f" ({span.undefined} undefined)" if span.undefined else ""
    return interval(span.low, span.high, write) + (undefined if span.low == span.low else "")


def _row(row: Row, rows: Sequence[Row], setting: str) -> Node:
    seeds = f"{len(row.runs)} seed{'s' if len(row.runs) > 1 else ''}"
    about = [part for part in (row.recipe, seeds, row.setting if row.setting != setting else "") if part]
    name = node(
        "th",
        node("span", class_=f"key {tint(row, rows)}"),
        f" {row.title}",
        node("small", " · ".join(about)),
        scope="row",
    )
    cells = []
    for key in row.task.columns:
        score, span, digits = row.scores[key], row.intervals.get(key), row.task.scores[key].digits
        between = _span(span, partial(decimal, digits=digits)) if span else ""
        cells.append(_cell(decimal(score.mean, digits), _spread(score, digits), between))
    if row.role != "teacher" and "agreement" in row.scores:
        cells.append(_cell(decimal(row.scores["agreement"].mean), f"κ {decimal(row.scores['kappa'].mean)}"))
    elif row.task.likeness:
        cells.append(_cell(MISSING))
    costs = row.costs
    latency = MISSING if costs["latency_ms"] is None else f"{costs['latency_ms']:.3g} ms"
    cells += [_cell(quantity(costs["parameters"])), _cell(quantity(costs["flops"])), _cell(latency)]
    return node("tr", name, cells, _cell(quantity(costs["file_bytes"], "B")))


def _difference(comparison: Comparison) -> Node:
    name = node("th", "Distilled − alone", node("small", "paired by seed and case"), scope="row")
    task, cells = comparison.task, []
    for key in task.columns:
        score, span, digits = comparison.scores[key], comparison.intervals.get(key), task.scores[key].digits
        between = _span(span, partial(signed, digits=digits)) if span else ""
        p = p_value(comparison.p_values[key]) if key in comparison.p_values else ""
        cells.append(_cell(signed(score.mean, digits), _spread(score, digits), between, p))
    rest = len(_columns(task)) - 1 - len(cells)
    return node("tr", name, cells, [_cell("") for _ in range(rest)], class_="difference")


def results_table(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> Node:
    """Return the table of all scores and costs, grouped by setting.

    Args:
        rows: as `rows_of` gives them.
        comparisons: as `compare` gives them; each is a line below its distilled row.
    """
    columns = _columns(rows[0].task)
    head = node(
        "tr", [node("th", name, node("small", below) if below else None, scope="col") for name, below in columns]
    )
    bodies = []
    for group in grouped(rows):
        lines = (
            [node("tr", node("th", group.setting, colspan=len(columns), scope="rowgroup"), class_="group")]
            if group.setting
            else []
        )
        for row in group.rows:
            lines.append(_row(row, rows, group.setting))
            lines += [_difference(c) for c in comparisons if c.distilled is row and c.seeds]
        bodies.append(node("tbody", lines))
    return node("div", node("table", node("thead", head), bodies), class_="card wide")
