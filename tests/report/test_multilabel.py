# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.metrics import (
    bootstrap_draws,
    finding_agreement,
    finding_auc,
    finding_calibration_error,
    finding_f1,
    mean_average_precision,
)
from monai_kd.report import load_runs, write_report
from monai_kd.report.files import read_predictions
from monai_kd.report.tasks import CLASSIFICATION, MULTILABEL, read_task
from monai_kd.utils.errors import DataError
from tests.benchmarks.study import figures
from tests.report.conftest import CASES, RunFactory
from tests.report.test_page import Page, write

FINDINGS = ["effusion", "nodule", "mass"]
KEYS = ("auc", "map", "f1", "ece")
METRICS = (finding_auc, mean_average_precision, finding_f1, finding_calibration_error)


class FindingsFactory(RunFactory):
    """Writes folders of multi-label runs: three findings, told as well as wished, the last in a single group."""

    def arrays(self, right: float, seed: int) -> dict[str, np.ndarray]:
        label = (np.random.default_rng(0).random((CASES, 3)) < [0.5, 0.3, 0]).astype(int)
        label[8:10, 2] = 1
        noise = np.random.default_rng(seed).normal(size=(CASES, 3))
        return {"label": label, "probability": 1 / (1 + np.exp(1 - 4 * right * label - noise))}


@pytest.fixture
def make_findings(tmp_path) -> FindingsFactory:
    root = tmp_path / "findings"
    root.mkdir()
    return FindingsFactory(root)


@pytest.fixture
def findings(make_findings) -> FindingsFactory:
    """A teacher, and two seeds of both students; the distilled one is clearly better."""
    make_findings("teacher", right=1, setting="", classes=FINDINGS)
    for seed in (0, 1):
        make_findings("alone", seed, right=0.1, classes=FINDINGS)
        make_findings("distilled", seed, right=0.8, classes=FINDINGS)
    return make_findings


def numbers(factory: FindingsFactory) -> dict:
    return json.loads((factory.root / "report.json").read_text(encoding="utf-8"))


def test_the_labels_tell_the_task(make_run, make_findings):
    assert read_task(make_run("alone"))[0] is CLASSIFICATION
    task, arrays = read_task(make_findings("alone"))
    assert task is MULTILABEL and arrays["label"].shape == arrays["probability"].shape == (CASES, 3)


def test_what_the_task_names_is_there():
    task = MULTILABEL
    assert {task.primary, *task.columns, *task.charts} <= set(task.scores)
    assert all(task.scores[key].resampled for key in (task.primary, *task.charts))
    assert {measure.label for measure in task.scores.values()} | {"agreement"} <= set(task.reading)


def test_the_page_holds_independently_computed_numbers(findings):
    page, runs = write(findings), load_runs(findings.root)
    heads = ["Network|", "AUC ↑|mean of findings|", "Mean AP ↑|mAP|", "F1 ↑|macro, at 1/2|", "ECE ↓|"]
    assert page.cells[0][:5] == heads
    for role, name in (("alone", "Student alone"), ("distilled", "Student distilled")):
        cells, own = page.row(name), [run for run in runs if run.role == role]
        for cell, metric in zip(cells[1:5], METRICS, strict=True):
            values = [metric(run.label, run.probability) for run in own]
            assert cell[:2] == [f"{np.mean(values):.3f}", f"± {np.std(values, ddof=1):.3f}"]
        values = [finding_agreement(run.probability, runs[0].probability) for run in own]
        assert cells[5][0] == f"{np.mean(values):.3f}"
    assert runs[0].classes == tuple(FINDINGS)


def test_the_verdict_follows_the_auc(findings, make_findings):
    assert "Distillation helps with 5 % labelled." in write(findings).text
    assert numbers(findings)["primary"] == "auc"
    (comparison,) = numbers(findings)["comparisons"]
    assert comparison["kind"] == "helps" and comparison["differences"]["auc"]["mean"] > 0.1
    for path in findings.root.rglob("run.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        other = {"alone": ("distilled", "kd"), "distilled": ("alone", None)}.get(values["role"], ("teacher", None))
        path.write_text(json.dumps({**values, "role": other[0], "recipe": other[1]}), encoding="utf-8")
    assert "Distillation does not help with 5 % labelled." in write(findings).text


def test_the_page_has_no_sections_of_single_labels(findings):
    text = write(findings).text
    assert "Learning curves" in text and "AUC of each network" in text and "smallest gain" in text
    for word in ("Confusions", "Examples", "reliability", "class is right"):
        assert word not in text


def test_intervals_are_those_of_resampled_groups(findings):
    write(findings)
    run = next(run for run in load_runs(findings.root) if run.role == "teacher")
    row = next(row for row in numbers(findings)["rows"] if row["role"] == "teacher")
    for key, metric in (("auc", finding_auc), ("map", mean_average_precision)):
        draws = bootstrap_draws(metric, run.label, run.probability, run.group, n=50)  # some without the rare finding
        assert row["intervals"][key]["low"] == pytest.approx(np.quantile(draws, 0.025))
        assert row["intervals"][key]["undefined"] == 0
    assert list(row["intervals"]) == ["auc", "map", "f1"]  # in the order of the draws


def test_kappa_is_agreement_on_pairs_beyond_chance(findings):
    student, teacher = (run.probability >= 0.5 for run in load_runs(findings.root)[:2])
    same, chance = (student == teacher).mean(), student.mean() * teacher.mean() + (~student).mean() * (~teacher).mean()
    kappa = MULTILABEL.likeness["kappa"](student.astype(float), teacher.astype(float))
    assert kappa == pytest.approx((same - chance) / (1 - chance))


def test_findings_that_nobody_has_make_a_page(make_findings):
    for role in ("alone", "distilled"):
        for seed in (0, 1):
            make_findings(role, seed, label=np.zeros((CASES, 3), int))
    page = write(make_findings)
    assert [cell[0] for cell in page.row("Student alone")[1:4]] == ["undefined"] * 3
    assert "The difference in AUC is undefined." in page.text
    row = numbers(make_findings)["rows"][0]
    assert row["scores"]["auc"]["mean"] is None and row["intervals"]["auc"]["undefined"] == 50


def test_labels_may_be_of_any_numeric_type(make_findings):
    label = make_findings.arrays(0.5, 0)["label"]
    first = read_predictions(make_findings("alone", label=label) / "predictions.npz")
    for dtype in (bool, np.uint8, np.float32):
        other = read_predictions(make_findings("alone", label=label.astype(dtype)) / "predictions.npz")
        np.testing.assert_array_equal(other["label"], first["label"])
        assert other["label"].dtype == first["label"].dtype


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("label", np.full((CASES, 3), 2), "label: 2 of case 0, finding 0 is not 0 or 1"),
        ("label", np.zeros((CASES, 2)), r"label and probability: .* got \[60, 2\] and \[60, 3\]"),
        ("label", np.zeros((CASES, 1)), r"label and probability: .* got \[60, 1\] and \[60, 3\]"),
        ("probability", np.full((CASES, 3), 1.5), "probability: 1.5 of case 0, finding 0 is not in 0..1"),
        ("teacher_probability", np.full((CASES, 2), 0.5), r"teacher_probability: expected shape \[60, 3\]"),
        ("teacher_probability", np.full((CASES, 3), -1.0), "-1 of case 0, finding 0 is not in 0..1"),
        ("group", np.zeros(59), r"group: expected shape \[60\], got \[59\]"),
        ("case", np.array(["twin"] * CASES), "key 'case': case 'twin' occurs more than once"),
    ],
)
def test_arrays_that_do_not_fit_are_named(make_findings, key, value, says):
    path = make_findings("alone", **{key: value}) / "predictions.npz"
    with pytest.raises(DataError, match=says) as error:
        read_predictions(path)
    assert str(path) in str(error.value)


def test_students_of_other_labels_are_not_compared(make_findings):
    label = make_findings.arrays(0.5, 0)["label"]
    make_findings("alone")
    second = make_findings("distilled", label=1 - label)
    with pytest.raises(DataError, match="key 'label': differs from") as error:
        write_report(make_findings.root, resamples=5)
    assert str(second / "predictions.npz") in str(error.value)


def test_single_and_multiple_labels_are_not_mixed(make_run, make_findings):
    make_run("alone")
    make_findings("distilled")
    with pytest.raises(DataError, match=r"is of .*classification, but .*predictions\.npz of .*classification"):
        load_runs(make_run.root.parent)


def test_a_study_keeps_the_share_of_findings_that_are_right(make_findings):
    folder = make_findings("alone")
    arrays, kept = read_predictions(folder / "predictions.npz"), figures(folder)
    assert kept["scores"] == {k: m(arrays["label"], arrays["probability"]) for k, m in zip(KEYS, METRICS, strict=True)}
    right = [
        sum((p >= 0.5) == (y == 1) for y, p in zip(*row, strict=True)) / 3
        for row in zip(arrays["label"].tolist(), arrays["probability"].tolist(), strict=True)
    ]
    assert kept["cases"] == {"correct_share": [round(share, 3) for share in right]}


def test_a_page_of_findings_is_well_formed(findings):
    for folder in findings.root.iterdir():
        findings.history(folder, {"epoch": [1, 2], "bce": [0.5, 0.4], "val_auc": ["", 0.7]})
    page = Page(write_report(findings.root, resamples=5))
    assert "validation auc" in page.text
