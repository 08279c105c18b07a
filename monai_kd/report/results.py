# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import wilcoxon

from monai_kd.metrics import Interval, bootstrap_draws, percentile_interval
from monai_kd.report.files import COSTS, ROLES
from monai_kd.report.runs import Run
from monai_kd.report.tasks import Task
from monai_kd.utils.errors import DataError

__all__ = ["Comparison", "Row", "Score", "compare", "plain", "rows_of"]


class Score(NamedTuple):
    """A score of each seed, their mean, and their spread (sample standard deviation; nan for one seed)."""

    seeds: tuple[float, ...]
    mean: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        return cls(tuple(map(float, values)), float(np.mean(values)), spread)


@dataclass(frozen=True)
class Row:
    """The runs of one network, one setting and one recipe, by seed: a row of the table."""

    runs: tuple[Run, ...]
    scores: Mapping[str, Score]  #: those of the task, and the likeness to the teacher where there is one
    intervals: Mapping[str, Interval]  #: of the mean over seeds
    costs: Mapping[str, float | None]  #: mean over the seeds that recorded it
    draws: tuple[np.ndarray, ...] = field(repr=False)  #: of each run, [resamples, resampled scores]

    @property
    def task(self) -> Task:
        return self.runs[0].task

    @property
    def setting(self) -> str:
        return self.runs[0].setting

    @property
    def role(self) -> str:
        return self.runs[0].role

    @property
    def title(self) -> str:
        return self.runs[0].title

    @property
    def recipe(self) -> str | None:
        return self.runs[0].recipe


@dataclass(frozen=True)
class Comparison:
    """Distilled minus alone: the same seeds, the same test cases, the same resamples."""

    alone: Row
    distilled: Row
    seeds: tuple[int, ...]  #: those of which there are both
    scores: Mapping[str, Score]  #: differences
    intervals: Mapping[str, Interval]  #: of the mean difference
    by_case: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)  #: mean differences over seeds, [N]
    p_values: Mapping[str, float] = field(default_factory=dict)  #: of `by_case`, by Wilcoxon's signed-rank test

    @property
    def task(self) -> Task:
        return self.alone.task


def rows_of(runs: Sequence[Run], resamples: int = 2000) -> list[Row]:
    """Gather runs into rows, by setting and then teacher, alone, distilled.

    Settings are in order of appearance, those that only teachers have first.

    Args:
        runs: as `load_runs` gives them.
        resamples: of the bootstrap.
    """
    students = dict.fromkeys(run.setting for run in runs if run.role != "teacher")
    settings = [*dict.fromkeys(run.setting for run in runs if run.setting not in students), *students]
    keys = sorted(dict.fromkeys(run.row for run in runs), key=lambda row: (settings.index(row[0]), ROLES.index(row[1])))
    return [_row(sorted((r for r in runs if r.row == key), key=lambda r: r.seed), resamples) for key in keys]


def _row(runs: Sequence[Run], resamples: int) -> Row:
    task = runs[0].task
    scores = {name: Score.of([measure.metric(*r.tested) for r in runs]) for name, measure in task.scores.items()}
    taught = [(r.tested[1], r.teacher_probability) for r in runs if r.teacher_probability is not None]
    if len(taught) == len(runs):
        for name, likeness in task.likeness.items():
            scores[name] = Score.of([likeness(student, teacher) for student, teacher in taught])
    draws = [_draws(run, resamples) for run in runs]
    known = {name: [value for run in runs if (value := getattr(run, name)) is not None] for name in COSTS}
    costs = {name: float(np.mean(values)) if values else None for name, values in known.items()}
    return Row(tuple(runs), scores, _intervals(task, scores, np.mean(draws, axis=0)), costs, tuple(draws))


def _draws(run: Run, resamples: int) -> np.ndarray:
    """The resampled scores of a run, [resamples, resampled scores]; runs of one test set share their resamples."""
    if run.task.draws is not None:
        return run.task.draws(*run.tested, run.group, resamples)
    metrics = [measure.metric for measure in run.task.scores.values() if measure.resampled]
    return bootstrap_draws(lambda *arrays: [m(*arrays) for m in metrics], *run.tested, run.group, resamples)


def _intervals(task: Task, scores: Mapping[str, Score], draws: np.ndarray) -> dict[str, Interval]:
    resampled = [name for name, measure in task.scores.items() if measure.resampled]
    return {name: percentile_interval(scores[name].mean, draws[:, i]) for i, name in enumerate(resampled)}


def compare(rows: Sequence[Row]) -> list[Comparison]:
    """Compare each distilled row with the student alone of its setting, over the seeds that both have.

    Args:
        rows: as `rows_of` gives them.

    Raises:
        DataError: runs of one setting and seed were not tested on the same cases, groups and, if recorded, labels.
    """
    alone = {row.setting: row for row in rows if row.role == "alone"}
    return [_compare(alone[row.setting], row) for row in rows if row.role == "distilled" and row.setting in alone]


def _compare(alone: Row, distilled: Row) -> Comparison:
    first, second = ({run.seed: i for i, run in enumerate(row.runs)} for row in (alone, distilled))
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        return Comparison(alone, distilled, (), {}, {})
    pairs = [(first[seed], second[seed]) for seed in seeds]
    for i, j in pairs:
        _check_same_test(alone.runs[i], distilled.runs[j])
    task = alone.task
    scores = {
        name: Score.of([distilled.scores[name].seeds[j] - alone.scores[name].seeds[i] for i, j in pairs])
        for name in task.scores
    }
    draws = np.mean([distilled.draws[j] - alone.draws[i] for i, j in pairs], axis=0)
    by_case = {}
    for name, measure in task.scores.items():
        for i, _ in pairs[1:] if measure.by_case else ():
            _check_same_test(alone.runs[pairs[0][0]], alone.runs[i])  # a case is the mean of its seeds
        if (values := measure.by_case) is not None:
            apart = [values(*distilled.runs[j].tested) - values(*alone.runs[i].tested) for i, j in pairs]
            by_case[name] = np.mean(apart, axis=0)
    p_values = {name: _wilcoxon(differences) for name, differences in by_case.items()}
    return Comparison(alone, distilled, seeds, scores, _intervals(task, scores, draws), by_case, p_values)


def _wilcoxon(differences: np.ndarray) -> float:
    """The p-value of the signed-rank test, two-sided; 1 if nothing differs."""
    apart = differences.round(12)  # what rounding of floats makes of a difference of nothing is nothing
    return float(wilcoxon(apart).pvalue) if apart.any() else 1.0


def _check_same_test(alone: Run, distilled: Run) -> None:
    file = alone.task.file
    for key in alone.task.same:
        if not np.array_equal(getattr(alone, key), getattr(distilled, key)):
            where = f"{distilled.folder / file}, key '{key}'"
            what = f"differs from {alone.folder / file}"
            raise DataError(what, where=where, fix="test all on the same cases")


def plain(value: Any) -> Any:
    """Turn scores and intervals into what JSON can hold: nan becomes null.

    Args:
        value: mappings, sequences, named tuples and numbers.
    """
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
