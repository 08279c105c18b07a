# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from monai_kd.report.files import read_examples, read_history, read_predictions, read_settings
from monai_kd.utils.errors import DataError

__all__ = ["Run", "load_runs"]


@dataclass(frozen=True)
class Run:
    """One trained and evaluated network, as its folder tells it; rows of the arrays are sorted by case."""

    folder: Path
    role: str  #: teacher, alone or distilled
    title: str  #: what the page calls it
    recipe: str | None
    seed: int
    setting: str  #: students of one setting are compared with each other
    command: str  #: what was typed
    data: str
    split: str
    parameters: float | None
    flops: float | None
    latency_ms: float | None
    file_bytes: float | None
    train_seconds: float | None
    case: np.ndarray  #: names of the test cases, [N]
    label: np.ndarray  #: [N]
    probability: np.ndarray  #: [N, C]
    group: np.ndarray  #: patient, slide or block of each case, [N]
    teacher_probability: np.ndarray | None = None  #: [N, C]
    classes: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)  #: columns of history.csv
    examples: dict[str, np.ndarray] = field(default_factory=dict)  #: arrays of examples.npz

    @property
    def row(self) -> tuple[str, str, str]:
        """What this run shares with its repetitions by other seeds: setting, role, and which teacher or recipe."""
        which = {"teacher": self.title, "alone": "", "distilled": self.recipe or ""}
        return self.setting, self.role, which[self.role]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a folder that holds `run.json`, `predictions.npz` and perhaps `history.csv` and `examples.npz`."""
        settings = read_settings(folder / "run.json")
        predictions = read_predictions(folder / "predictions.npz")
        count = predictions["probability"].shape[1]
        classes = tuple(settings.get("classes", map(str, range(count))))
        if len(classes) != count:
            where = f"{folder / 'run.json'}, key 'classes'"
            raise DataError(f"{len(classes)} names for {count} classes of predictions.npz", where=where)
        known = {key: settings[key] for key in cls.__dataclass_fields__ if key in settings}
        known["environment"] = {str(k): str(v) for k, v in settings.get("environment", {}).items()}
        examples = read_examples(folder / "examples.npz")
        return cls(
            **{
                **known,
                **predictions,
                "folder": folder,
                "classes": classes,
                "examples": examples,
                "history": read_history(folder / "history.csv"),
            }
        )


def load_runs(directory: str | os.PathLike) -> list[Run]:
    """Read every folder below `directory` that has a `run.json`, in the order of their paths.

    A run that does not record the teacher's answers borrows them from the one teacher that was tested on its cases.

    Args:
        directory: where the runs are.

    Raises:
        DataError: no run, a file that is missing or invalid, two runs of one name, runs of different class counts.
    """
    folders = [path.parent for path in sorted(Path(directory).rglob("run.json"))]
    if not folders:
        raise DataError(
            "there is no run",
            where=str(directory),
            why="no folder below it has a run.json",
            fix="train and evaluate first",
        )
    runs = [Run.read(folder) for folder in folders]
    seen: dict[tuple, Run] = {}
    for run in runs:
        other = seen.setdefault((*run.row, run.seed), run)
        if other is not run:
            what = f"is the same run as {other.folder}: {run.role}, {run.setting!r}, seed {run.seed}"
            raise DataError(what, where=str(run.folder), fix="remove one, or give them different settings")
        if run.classes != runs[0].classes:
            what = f"classes {', '.join(run.classes)} differ from {', '.join(runs[0].classes)} of {runs[0].folder}"
            raise DataError(what, where=str(run.folder), fix="report one task at a time")
    return [_with_teacher(run, [r for r in runs if r.role == "teacher"]) for run in runs]


def _with_teacher(run: Run, teachers: Sequence[Run]) -> Run:
    fitting = [t.probability for t in teachers if np.array_equal(t.case, run.case)]
    if run.teacher_probability is not None or run.role == "teacher" or len(fitting) != 1:
        return run
    return replace(run, teacher_probability=fitting[0])
