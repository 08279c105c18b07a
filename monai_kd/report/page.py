# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_kd.report.markup import document
from monai_kd.report.provenance import environment
from monai_kd.report.results import Comparison, Row, compare, plain, rows_of
from monai_kd.report.runs import Run, load_runs
from monai_kd.report.sections import body
from monai_kd.report.style import STYLE
from monai_kd.report.verdict import headline, judge

__all__ = ["write_report"]


def write_report(directory: str | os.PathLike, output: str | os.PathLike | None = None, resamples: int = 2000) -> Path:
    """Write one self-contained page about all runs below `directory`, and the same numbers as JSON beside it.

    All runs are of one task, which the file tells that their folders hold: `predictions.npz` for classification,
    `scores.npz` for segmentation. A run is any folder with

    - `run.json`: `role` (teacher, alone or distilled), `title`, `recipe` (or null), `seed`, `setting` (students of one
      setting are compared), `command`, `data`, `split`, and the costs `parameters`, `flops`, `latency_ms`,
      `file_bytes`, `train_seconds` (each a number or null); if wanted `classes` (their names; of a segmentation, first
      the background), `subsets` (of the classes, from common to rare) and `environment` (versions, see
      :func:`monai_kd.report.environment`);
    - either `predictions.npz`: `case` [N] names, `label` [N], or [N, C] of 0 and 1 for findings that may occur
      together, `probability` [N, C], `group` [N] (patient, slide, block), and if wanted `teacher_probability` [N, C];
      without it, the answers of the one teacher tested on the same cases;
    - or `scores.npz`, as `monai_kd.handlers.SegmentationScores` writes it: `case` [N] names, `group` [N], `structures`
      [S] names, `dice` [N, S], `hd95` [N, S] and its `unit`, mm if there is none;
    - if wanted `history.csv`: `epoch` and any other columns; those named `val_...` are drawn over all networks;
    - if wanted, beside `predictions.npz`, `examples.npz`: `images` (uint8, [K, H, W] or [K, H, W, 3]), `label` [K], and
      if wanted `privileged` pictures and the classes that `teacher`, `alone` and `distilled` name, [K].

    Args:
        directory: where the runs are.
        output: the page, or a folder for `report.html`; None is `directory`.
        resamples: of the bootstrap intervals.

    Returns:
        The path of the page; the numbers are in a file of the same name that ends in `.json`.

    Raises:
        DataError: there is no run, a run's file is missing or invalid, or the runs are not of one task; names the file
            and the key.
    """
    runs = load_runs(directory)
    rows = rows_of(runs, resamples)
    comparisons = compare(rows)
    versions = _versions(runs)
    page = Path(output if output is not None else directory)
    if page.is_dir() or not page.suffix:
        page = page / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    numbers = plain(_numbers(runs, rows, comparisons, versions, resamples))
    text = document(headline(comparisons), STYLE, body(runs, rows, comparisons, versions, resamples))
    page.with_suffix(".json").write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    page.write_text(text, encoding="utf-8", errors="replace")
    return page


def _versions(runs: Sequence[Run]) -> dict[str, str]:
    """What the runs recorded; where none recorded anything, what this page is written with."""
    recorded: dict[str, list[str]] = {}
    for run in runs:
        for key, value in run.environment.items():
            recorded.setdefault(key, []).append(value)
    return {key: ", ".join(dict.fromkeys(values)) for key, values in recorded.items()} or environment()


def _numbers(
    runs: Sequence[Run],
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    versions: dict[str, str],
    resamples: int,
) -> dict[str, Any]:
    """The numbers of the page, by name."""

    def name(row: Row) -> dict[str, Any]:
        return {"setting": row.setting, "role": row.role, "title": row.title, "recipe": row.recipe}

    return {
        "headline": headline(comparisons),
        "primary": runs[0].task.primary,
        "resamples": resamples,
        "rows": [
            {**name(row), "seeds": [run.seed for run in row.runs]}
            | {"scores": row.scores, "intervals": row.intervals, "costs": row.costs}
            for row in rows
        ],
        "comparisons": [
            {**name(c.distilled), **judge(c)._asdict(), "seeds": c.seeds}
            | {"differences": c.scores, "intervals": c.intervals}
            | ({"p_values": c.p_values} if c.p_values else {})
            for c in comparisons
        ],
        "commands": [run.command for run in runs],
        "data": list(dict.fromkeys(run.data for run in runs)),
        "split": list(dict.fromkeys(run.split for run in runs)),
        "environment": versions,
    }
