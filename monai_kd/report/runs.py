# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from monai_kd.report.files import read_examples, read_history, read_settings
from monai_kd.report.tasks import Task, read_task
from monai_kd.utils.errors import DataError

__all__ = ["Run", "load_runs"]


@dataclass(frozen=True)
class Run:
    """One trained and evaluated network, as its folder tells it; rows of the arrays are sorted by case."""

    folder: Path
    task: Task
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
    group: np.ndarray  #: patient, slide or block of each case, [N]
    label: np.ndarray | None = None  #: classification: [N]; of findings that may occur together: [N, C]
    probability: np.ndarray | None = None  #: classification: [N, C]
    teacher_probability: np.ndarray | None = None  #: classification: [N, C]
    dice: np.ndarray | None = None  #: segmentation: [N, S]
    hd95: np.ndarray | None = None  #: segmentation: [N, S]
    classes: Sequence[str] = ()  #: names of the C classes or the S structures
    subsets: dict[str, list[int]] | None = None  #: classes by how common they are in training
    environment: dict[str, str] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)  #: columns of history.csv
    examples: dict[str, np.ndarray] = field(default_factory=dict)  #: arrays of examples.npz

    @property
    def row(self) -> tuple[str, str, str]:
        """What this run shares with its repetitions by other seeds: setting, role, and which teacher or recipe."""
        which = {"teacher": self.title, "alone": "", "distilled": self.recipe or ""}
        return self.setting, self.role, which[self.role]

    @property
    def tested(self) -> tuple[np.ndarray, np.ndarray]:
        """The two arrays from which the scores of the task are computed."""
        first, second = (getattr(self, name) for name in self.task.arrays)
        return first, second

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a folder that holds `run.json`, the file of one task and perhaps `history.csv` and `examples.npz`."""
        settings = read_settings(folder / "run.json")
        task, arrays = read_task(folder)
        classes = _names(folder, settings.get("classes"), arrays)
        known = {key: settings[key] for key in cls.__dataclass_fields__ if key in settings}
        known["environment"] = {str(k): str(v) for k, v in settings.get("environment", {}).items()}
        examples = read_examples(folder / "examples.npz")
        return cls(
            **{
                **known,
                **arrays,
                "folder": folder,
                "task": task,
                "classes": classes,
                "examples": examples,
                "history": read_history(folder / "history.csv"),
            }
        )


def _names(folder: Path, given: Sequence[str] | None, arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The names of the classes, or of the structures; `given`, those of run.json, include the background."""
    where = f"{folder / 'run.json'}, key 'classes'"
    if "structures" in arrays:
        structures = tuple(arrays.pop("structures").tolist())
        if given is not None and tuple(given[1:]) != structures:
            what = f"{', '.join(given)} are not a background and {', '.join(structures)}, structures of scores.npz"
            raise DataError(what, where=where)
        return structures
    count = arrays["probability"].shape[1]
    classes = tuple(given if given is not None else map(str, range(count)))
    if len(classes) != count:
        raise DataError(f"{len(classes)} names for {count} classes of predictions.npz", where=where)
    return classes


def load_runs(directory: str | os.PathLike) -> list[Run]:
    """Read every folder below `directory` that has a `run.json`, in the order of their paths.

    A run that does not record the teacher's answers borrows them from the one teacher that was tested on its cases.

    Args:
        directory: where the runs are.

    Raises:
        DataError: no run, a file that is missing or invalid, two runs of one name, runs of different tasks or classes.
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
        first, fix = runs[0], "report one task at a time"
        if run.task.name != first.task.name:
            what = f"is of {run.task.name}, but {first.folder / first.task.file} of {first.task.name}"
            raise DataError(what, where=str(run.folder / run.task.file), fix=fix)
        if run.classes != first.classes:
            file, key = run.task.classes
            what = f"{key} {', '.join(run.classes)} differ from {', '.join(first.classes)} of {first.folder}"
            raise DataError(what, where=f"{run.folder / file}, key '{key}'", fix=fix)
        if run.task.units != first.task.units:
            what = f"{', '.join(run.task.units)} differs from {', '.join(first.task.units)} of {first.folder}"
            raise DataError(what, where=f"{run.folder / run.task.file}, key 'unit'", fix="test all in one unit")
    return [_with_teacher(run, [r for r in runs if r.role == "teacher"]) for run in runs]


def _with_teacher(run: Run, teachers: Sequence[Run]) -> Run:
    fitting = [t.probability for t in teachers if np.array_equal(t.case, run.case)]
    if not run.task.likeness or run.teacher_probability is not None or run.role == "teacher" or len(fitting) != 1:
        return run
    return replace(run, teacher_probability=fitting[0])
