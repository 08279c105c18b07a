# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monai_kd.metrics import (
    accuracy,
    agreement,
    balanced_accuracy,
    cohen_kappa,
    expected_calibration_error,
    finding_agreement,
    finding_auc,
    finding_calibration_error,
    finding_draws,
    finding_f1,
    macro_auc,
    mean_average_precision,
)
from monai_kd.report.files import read_predictions, read_scores
from monai_kd.utils.errors import DataError

__all__ = ["CLASSIFICATION", "MULTILABEL", "Measure", "Task", "read_task", "segmentation"]

Metric = Callable[[np.ndarray, np.ndarray], float]


class Measure(NamedTuple):
    """A score: how it is computed from the two arrays of its task, and how it is written."""

    label: str  #: in a sentence
    metric: Metric
    by_case: Callable[..., np.ndarray] | None = None  #: of each case, [N], if `metric` is the mean of such values
    of: str = ""  #: the structure it is of
    below: str = ""  #: second line of its column's head
    resampled: bool = True  #: whether it gets a bootstrap interval
    lower: bool = False  #: whether less is better
    digits: int = 3
    unit: str = ""

    @property
    def name(self) -> str:
        """In a sentence, with what it is of."""
        return f"{self.label} of {self.of}" if self.of else self.label

    @property
    def axis(self) -> str:
        """Below an axis, with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True)
class Task:
    """What the runs of a page were trained to do: all that the page has to know of it."""

    name: str
    file: str  #: of the test's outcome, in a run's folder
    arrays: tuple[str, str]  #: of that file, from which the scores are computed, [N, ...] both
    same: tuple[str, ...]  #: arrays in which two runs must not differ, or they cannot be compared
    classes: tuple[str, str]  #: file and key of the names of the classes
    scores: Mapping[str, Measure] = field(repr=False)
    primary: str  #: the score that the verdict rests on, fixed before any run; more is better
    margin: float  #: a gain that is surely smaller than this is no help
    columns: tuple[str, ...]  #: scores in the table of results
    charts: tuple[str, ...]  #: scores drawn for each network, with their intervals
    sections: tuple[str, ...]  #: further figures, by their names in `sections.py`
    reading: Mapping[str, str] = field(repr=False)  #: words of the page and what they mean
    likeness: Mapping[str, Metric] = field(default_factory=dict)  #: of a student's answers and its teacher's
    draws: Callable[..., np.ndarray] | None = None  #: the resampled scores, where there is a faster way than each alone

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(measure.unit for measure in self.scores.values() if measure.unit))


CLASSIFICATION = Task(
    name="classification",
    file="predictions.npz",
    arrays=("label", "probability"),
    same=("case", "label", "group"),
    classes=("run.json", "classes"),
    scores={
        "accuracy": Measure("accuracy", accuracy),
        "balanced_accuracy": Measure("balanced accuracy", balanced_accuracy),
        "auc": Measure("AUC", macro_auc),
        "ece": Measure("ECE", expected_calibration_error, resampled=False, lower=True),
    },
    primary="balanced_accuracy",
    margin=0.02,
    columns=("accuracy", "balanced_accuracy", "auc", "ece"),
    charts=("balanced_accuracy",),
    sections=("shots", "curves", "calibration", "confusions", "examples"),
    reading={
        "accuracy": "Fraction of cases whose most probable class is right. Balanced: mean of the classes' recalls.",
        "AUC": "Area under the ROC curve of each class against the rest, mean over classes. Undefined with one class.",
        "ECE": "Expected calibration error: mean distance of how sure from how often right, 15 bins of equal width.",
        "agreement": "Fraction of cases on which student and teacher name the same class. Cohen’s κ: beyond chance.",
    },
    likeness={"agreement": agreement, "kappa": cohen_kappa},
)


def _finding_kappa(input: np.ndarray, target: np.ndarray) -> float:
    """Cohen's κ of student and teacher over all pairs of case and finding: there or not there."""
    student, teacher = (np.eye(2)[(p >= 0.5).ravel().astype(int)] for p in (input, target))
    return cohen_kappa(student, teacher)


MULTILABEL = Task(
    name="multi-label classification",
    file="predictions.npz",
    arrays=("label", "probability"),
    same=("case", "label", "group"),
    classes=("run.json", "classes"),
    scores={
        "auc": Measure("AUC", finding_auc, below="mean of findings"),
        "map": Measure("mean AP", mean_average_precision, below="mAP"),
        "f1": Measure("F1", finding_f1, below="macro, at 1/2"),
        "ece": Measure("ECE", finding_calibration_error, resampled=False, lower=True),
    },
    primary="auc",
    margin=0.01,  # of the AUC, fixed and declared like those of the other tasks
    columns=("auc", "map", "f1", "ece"),
    charts=("auc",),
    sections=("shots", "curves"),
    reading={
        "AUC": "Area under the ROC curve of each finding, mean over the findings that some test cases have and some "
        "have not. A resample takes the mean over those of which it has both.",
        "mean AP": "Average precision of each finding, its precision at every step of recall, mean over findings. "
        "Chance is not 1/2 but how frequent a finding is, so it tells more than the AUC about rare findings.",
        "F1": "Twice the true positives over all that is found and all that is there, at the threshold 1/2, mean over "
        "findings. It changes with the threshold, which is not tuned here: low beside a high AUC, it says that the "
        "probabilities are too low or too high.",
        "ECE": "Expected calibration error: mean distance of the probability of a finding from how often it is there, "
        "15 bins of equal width, mean over findings. Small for rare findings, whatever the network.",
        "agreement": "Fraction of the pairs of test case and finding in which student and teacher are on the same side "
        "of 1/2. Where most findings are absent, it is high by chance. Cohen’s κ: beyond chance.",
        "smallest gain": "0.01 of AUC, the smallest gain of interest: fixed here for every data set and method, so "
        "that no result chooses it.",
    },
    likeness={"agreement": finding_agreement, "kappa": _finding_kappa},
    draws=finding_draws,
)


def segmentation(structures: Sequence[str], unit: str = "mm") -> Task:
    """The task of segmenting these structures; a single one needs no means over structures.

    Args:
        structures: their names, without the background, S.
        unit: of the distances.
    """
    dice, hd95 = (
        _measures(0, structures, label="Dice"),
        _measures(1, structures, label="HD95", lower=True, digits=2, unit=unit),
    )
    return Task(
        name="segmentation",
        file="scores.npz",
        arrays=("dice", "hd95"),
        same=("case", "group"),
        classes=("scores.npz", "structures"),
        scores={**dice, **hd95},
        primary="dice",
        margin=0.005,  # a fixed, declared smallest gain of interest: chosen here, so that no result can choose it
        columns=(*dice, "hd95"),
        charts=("dice", *hd95),
        sections=("cases", "curves"),
        reading={
            "Dice": "Twice the overlap over the sum of both sizes, mean over cases; that of no structure is the mean "
            "over structures. A structure neither there nor found counts 1, one missed or made up 0.",
            "HD95": f"95th percentile of the distances from surface to surface in {unit}, the larger of both "
            "directions, mean over cases. A structure missed or made up counts the diagonal of the image.",
            "smallest gain": "0.005 of Dice, the smallest gain of interest: fixed here for every data set and method, "
            "so that no result chooses it.",
            "p": "Wilcoxon’s signed-rank test of the differences by case, two-sided, seeds averaged first. It takes "
            "cases as independent, which those of one patient are not: where groups hold several cases, trust the "
            "interval. The verdict does not use it, and it is not corrected for the number of comparisons.",
        },
    )


def _measures(
    array: int, structures: Sequence[str], label: str, lower: bool = False, digits: int = 3, unit: str = ""
) -> dict[str, Measure]:
    """The mean over structures of one of the two arrays, [N, S], and that of each structure, if there are several."""

    def measure(columns: list[int], of: str) -> Measure:
        def by_case(*arrays: np.ndarray) -> np.ndarray:
            return arrays[array][:, columns].mean(1)

        def metric(*arrays: np.ndarray) -> float:
            return float(by_case(*arrays).mean())

        below = ", ".join(part for part in (of or "mean", unit) if part)
        return Measure(label, metric, by_case, of, below, lower=lower, digits=digits, unit=unit)

    every, key = list(range(len(structures))), label.lower()
    if len(structures) == 1:
        return {key: measure(every, structures[0])}
    return {key: measure(every, ""), **{f"{key}_{name}": measure([i], name) for i, name in enumerate(structures)}}


def read_task(folder: Path) -> tuple[Task, dict[str, np.ndarray]]:
    """Tell the task of a run by the file that its folder holds, and read that file.

    Predictions whose `label` has two dimensions, [N, C], are those of findings that may occur together.

    Args:
        folder: of the run.

    Raises:
        DataError: none of the files is there, or several are, or it is invalid; names the file and the key.
    """
    found = [name for name in ("predictions.npz", "scores.npz") if (folder / name).is_file()]
    if len(found) != 1:
        what = "holds both predictions.npz and scores.npz" if found else "holds no predictions.npz and no scores.npz"
        fix = "a run has one task: remove the file of the other" if found else "evaluate the run, which writes one"
        raise DataError(what, where=str(folder), fix=fix)
    if found == [CLASSIFICATION.file]:
        arrays = read_predictions(folder / found[0])
        return (MULTILABEL if arrays["label"].ndim == 2 else CLASSIFICATION), arrays
    arrays = read_scores(folder / found[0])
    return segmentation(arrays["structures"].tolist(), str(arrays.pop("unit"))), arrays
