# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_precision, compute_roc_auc

from monai_kd.metrics import (
    bootstrap_draws,
    finding_agreement,
    finding_auc,
    finding_calibration_error,
    finding_draws,
    finding_f1,
    mean_average_precision,
)
from monai_kd.metrics.multilabel import checked_findings
from monai_kd.utils.errors import ClassMismatchError, DataError

METRICS = (finding_auc, mean_average_precision, finding_f1, finding_calibration_error)


@pytest.fixture(params=[4, 1000], ids=["tied", "hardly tied"])
def answers(request) -> tuple[np.ndarray, np.ndarray]:
    """60 cases of 6 findings: three of unequal frequency, one of one case, one that none has, one that all have."""
    generator = np.random.default_rng(request.param)
    label = (generator.random((60, 6)) < [0.5, 0.3, 0.1, 0, 0, 1]).astype(int)
    label[7, 3] = label[:2, 2] = 1
    probability = generator.integers(0, request.param + 1, (60, 6)) / request.param
    return label, probability


def columns(answers) -> list[tuple[list[int], list[float]]]:
    label, probability = answers
    return [(label[:, c].tolist(), probability[:, c].tolist()) for c in range(label.shape[1])]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_auc_matches_plain_loop_over_pairs(answers):
    areas = []
    for label, probability in columns(answers):
        have = [p for y, p in zip(label, probability, strict=True) if y]
        lack = [q for y, q in zip(label, probability, strict=True) if not y]
        if have and lack:
            areas.append(mean([(p > q) + 0.5 * (p == q) for p in have for q in lack]))
    assert len(areas) == 4
    assert finding_auc(*answers) == pytest.approx(mean(areas), abs=1e-12)


def loop_of_precision(label: list[int], probability: list[float]) -> float:
    total, before = 0.0, 0.0
    for threshold in sorted(set(probability), reverse=True):
        called = [y for y, p in zip(label, probability, strict=True) if p >= threshold]
        recall, precision = sum(called) / sum(label), sum(called) / len(called)
        total, before = total + (recall - before) * precision, recall
    return total


def test_average_precision_matches_plain_loop_over_thresholds(answers):
    expected = [loop_of_precision(label, probability) for label, probability in columns(answers) if sum(label)]
    assert len(expected) == 5
    assert mean_average_precision(*answers) == pytest.approx(mean(expected), abs=1e-12)


def test_each_column_is_that_of_monai(answers):
    for c in range(4):
        theirs = torch.tensor(answers[1][:, c]), torch.tensor(answers[0][:, c])
        assert finding_auc(*answers, findings=[c]) == pytest.approx(compute_roc_auc(*theirs))
        assert mean_average_precision(*answers, findings=[c]) == pytest.approx(compute_average_precision(*theirs))


def test_f1_matches_plain_loop(answers):
    scores = []
    for label, probability in columns(answers):
        pairs = [(y == 1, p >= 0.5) for y, p in zip(label, probability, strict=True)]
        if any(there for there, _ in pairs):
            wrong = sum(there != found for there, found in pairs)
            hit = sum(there and found for there, found in pairs)
            scores.append(2 * hit / (2 * hit + wrong))
    assert finding_f1(*answers) == pytest.approx(mean(scores), abs=1e-12)


@pytest.mark.parametrize("bins", [1, 15])
def test_calibration_error_matches_plain_loop(bins):
    generator = np.random.default_rng(0)
    answers = generator.integers(2, size=(100, 3)), generator.random((100, 3))
    errors = []
    for label, probability in columns(answers):
        gaps = [0.0] * bins
        for y, p in zip(label, probability, strict=True):
            gaps[int(p * bins)] += y - p
        errors.append(sum(map(abs, gaps)) / len(label))
    assert finding_calibration_error(*answers, bins=bins) == pytest.approx(mean(errors), rel=1e-5)


def test_agreement_matches_plain_loop(answers):
    student, teacher = answers[1], answers[1][::-1]
    pairs = zip(student.ravel().tolist(), teacher.ravel().tolist(), strict=True)
    assert finding_agreement(student, teacher) == pytest.approx(mean([(p >= 0.5) == (q >= 0.5) for p, q in pairs]))
    assert finding_agreement(student, student) == 1


def test_draws_are_those_of_each_metric_alone(answers):
    answers[0][::4, 5] = 0  # no finding of all
    group = np.arange(60) // 20  # so that some draws have a finding that no case has
    draws = finding_draws(*answers, group, n=40, seed=3)
    for i, metric in enumerate((finding_auc, mean_average_precision, finding_f1)):
        np.testing.assert_allclose(draws[:, i], bootstrap_draws(metric, *answers, group, n=40, seed=3), rtol=1e-12)


def test_draws_of_one_group_are_undefined(answers):
    assert np.isnan(finding_draws(*answers, np.zeros(60), n=3)).all()
    with pytest.raises(DataError, match=r"group: \[59\] for 60 cases"):
        finding_draws(*answers, np.zeros(59))


def test_only_the_findings_asked_for_count(answers):
    label, probability = answers
    for metric in (finding_auc, mean_average_precision):
        assert metric(label, probability, findings=[2, 0]) == metric(label[:, [0, 2]], probability[:, [0, 2]])
        parts = [metric(label, probability, findings=[c]) for c in (0, 1, 2, 3)]
        assert metric(label, probability, findings=range(4)) == pytest.approx(mean(parts))
        with pytest.raises(DataError, match=r"findings: 6 is not one of 0\.\.5"):
            metric(label, probability, findings=[0, 6])


def test_a_perfect_answer_and_its_opposite():
    label = np.array([[1, 0], [0, 1], [0, 0], [1, 1]])
    for metric, best in (
        (finding_auc, 1),
        (mean_average_precision, 1),
        (finding_f1, 1),
        (finding_calibration_error, 0),
    ):
        assert metric(label, label) == best
    assert finding_auc(label, 1 - label) == finding_f1(label, 1 - label) == 0
    assert finding_calibration_error(label, 1 - label) == 1


def test_an_answer_that_says_nothing_is_chance(answers):
    label = answers[0]
    flat = np.full(label.shape, 0.3)
    assert finding_auc(label, flat) == 0.5
    assert mean_average_precision(label, flat) == pytest.approx(label.mean(0)[label.any(0)].mean())
    assert finding_f1(label, flat) == 0  # never found: no true positive


def test_the_mean_of_no_finding_is_undefined():
    absent, everywhere, probability = np.zeros((3, 2)), np.ones((3, 2)), np.full((3, 2), 0.5)
    for metric in (finding_auc, mean_average_precision, finding_f1):
        assert math.isnan(metric(absent, probability))
    assert math.isnan(finding_auc(everywhere, probability))
    assert mean_average_precision(everywhere, probability) == 1
    assert finding_calibration_error(everywhere, probability) == 0.5


def test_neighbouring_floats_are_apart_and_both_zeros_are_tied():
    near = np.nextafter(0.5, 1)
    assert finding_auc([[1], [0]], [[near], [0.5]]) == 1
    assert finding_auc([[0], [1]], [[near], [0.5]]) == 0
    assert finding_auc([[1], [0]], [[0.0], [-0.0]]) == finding_auc([[1], [0]], [[-0.0], [0.0]]) == 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.float32])
def test_takes_tensors_of_any_kind(metric, dtype, answers):
    label, probability = answers
    tensors = torch.tensor(label, dtype=dtype), torch.tensor(probability, requires_grad=True)
    assert metric(*tensors) == metric(label, probability)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("label", "probability", "says"),
    [
        ([[0, 1]], [[0.5, 0.5]] * 2, r"\[1, 2\] and \[2, 2\]"),
        ([0, 1], [[0.5, 0.5]] * 2, r"shapes \[N, C\] and \[N, C\], got \[2\] and \[2, 2\]. give each case"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "label: there is no case"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "label: there is no case or no finding"),
        ([["0", "1"]], [[0.5, 0.5]], "label: must hold numbers"),
        ([[0, 0], [0, 2]], [[0.5, 0.5]] * 2, "label: 2 of case 1, finding 1 is not 0 or 1. use 1 where"),
        ([[0, -1]], [[0.5, 0.5]], "label: -1 of case 0, finding 1"),
        ([[0.5, 0]], [[0.5, 0.5]], "label: 0.5 of case 0, finding 0"),
        ([[math.nan, 0]], [[0.5, 0.5]], "label: nan of case 0, finding 0"),
        ([[0, 1]], [[0.5, 1.5]], "probability: 1.5 of case 0, finding 1 is not in 0..1. apply sigmoid"),
        ([[0, 1]], [[-3, 0.5]], "probability: -3 of case 0, finding 0"),
        ([[0, 1]], [[0.5, math.nan]], "probability: nan of case 0, finding 1"),
    ],
)
def test_refuses_what_is_no_prediction(metric, label, probability, says):
    with pytest.raises(DataError, match=says):
        metric(label, probability)


def test_checked_labels_are_integers_and_probabilities_doubles():
    label, probability = checked_findings([[1.0, 0.0]], torch.tensor([[0.25, 1.0]]))
    assert label.tolist() == [[1, 0]] and label.dtype == np.int64
    assert probability.tolist() == [[0.25, 1.0]] and probability.dtype == np.float64


@pytest.mark.parametrize(
    ("student", "teacher", "error", "says"),
    [
        ([[0.5]], [[0.5], [0.5]], DataError, r"same cases, got \[1, 1\] and \[2, 1\]"),
        ([0.5], [0.5], DataError, r"got \[1\] and \[1\]"),
        (np.zeros((0, 2)), np.zeros((0, 2)), DataError, "same cases"),
        ([[0.5, 0.5]], [[0.5]], ClassMismatchError, "the student has 2 findings, the teacher 1"),
        ([[0.5]], [[math.nan]], DataError, "teacher: not all probabilities are in 0..1"),
        ([[3.0]], [[0.5]], DataError, "student: .* apply sigmoid"),
    ],
)
def test_agreement_refuses_what_does_not_fit(student, teacher, error, says):
    with pytest.raises(error, match=says):
        finding_agreement(student, teacher)
