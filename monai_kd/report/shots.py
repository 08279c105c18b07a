# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from monai_kd.metrics import shot_scores
from monai_kd.report.markup import Node, node
from monai_kd.report.results import Row, Score
from monai_kd.report.tables import Group, tint
from monai_kd.report.text import decimal

__all__ = ["shots_table"]


def shots_table(group: Group, rows: Sequence[Row]) -> list[Node]:
    """Return a table of the scores of common and rare classes; runs of the group that record no subsets have no line.

    Args:
        group: whose rows.
        rows: all rows of the page.
    """
    lines, names = [], []
    for row in group.rows:
        found = [shot_scores(*run.tested, run.subsets) for run in row.runs if run.subsets]
        if len(found) < len(row.runs) or len({tuple(scores) for scores in found}) > 1:
            continue  # of some seeds only, or of other subsets: no mean
        names += [name for name in found[0] if name not in names]
        cells = {name: Score.of([scores[name] for scores in found]) for name in found[0]}
        title = node("span", class_=f"key {tint(row, rows)}"), f" {row.title}", node("small", row.recipe or "")
        lines.append((title, cells))
    if not lines:
        return []
    head = node("tr", [node("th", name.capitalize(), scope="col") for name in ("network", *names)])
    body = [
        node("tr", node("th", *title, scope="row"), [_cell(cells.get(name)) for name in names])
        for title, cells in lines
    ]
    return [node("div", node("table", node("thead", head), node("tbody", body)), class_="card wide")]


def _cell(score: Score | None) -> Node:
    if score is None:
        return node("td")
    spread = f"± {decimal(score.spread)}" if len(score.seeds) > 1 else ""
    return node("td", decimal(score.mean), node("small", spread) if spread else None)
