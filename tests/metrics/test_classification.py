# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_roc_auc, get_confusion_matrix
from monai.networks import one_hot

from monai_kd.metrics import accuracy, balanced_accuracy, confusion_matrix, macro_auc
from monai_kd.utils.errors import DataError

METRICS = (accuracy, balanced_accuracy, macro_auc, confusion_matrix)


@pytest.fixture(params=[2, 3, 5])
def answers(request) -> tuple[np.ndarray, np.ndarray]:
    """Labels of unequal frequency, and probabilities rounded so that some are tied."""
    classes, generator = request.param, np.random.default_rng(request.param)
    label = np.concatenate([np.arange(classes), generator.integers(classes // 2 + 1, size=60)])
    probability = generator.integers(1, 8, size=(len(label), classes)).astype(float)
    return label, probability / probability.sum(1, keepdims=True)


def decide(row: list[float]) -> int:
    return row.index(max(row))


def test_accuracy_matches_plain_loop(answers):
    label, probability = (a.tolist() for a in answers)
    right = sum(decide(row) == y for y, row in zip(label, probability, strict=True))
    assert accuracy(*answers) == pytest.approx(right / len(label))


def test_balanced_accuracy_matches_plain_loop(answers):
    label, probability = (a.tolist() for a in answers)
    recalls = []
    for c in sorted(set(label)):
        own = [decide(row) == c for y, row in zip(label, probability, strict=True) if y == c]
        recalls.append(sum(own) / len(own))
    assert balanced_accuracy(*answers) == pytest.approx(sum(recalls) / len(recalls))


def test_auc_matches_plain_loop_over_pairs(answers):
    label, probability = (a.tolist() for a in answers)
    areas = []
    for c in sorted(set(label)):
        wins = [
            (p[c] > q[c]) + 0.5 * (p[c] == q[c])
            for y, p in zip(label, probability, strict=True)
            for z, q in zip(label, probability, strict=True)
            if y == c and z != c
        ]
        areas.append(sum(wins) / len(wins))
    assert macro_auc(*answers) == pytest.approx(sum(areas) / len(areas))


def test_auc_is_that_of_monai(answers):
    label, probability = torch.tensor(answers[0]), torch.tensor(answers[1])
    theirs = compute_roc_auc(probability, one_hot(label[:, None], probability.shape[1]), average="macro")
    assert macro_auc(label, probability) == pytest.approx(float(theirs))


def test_confusion_matrix_matches_monai(answers):
    label, probability = torch.tensor(answers[0]), torch.tensor(answers[1])
    classes = probability.shape[1]
    decided = one_hot(torch.tensor(answers[1].argmax(1))[:, None], classes)
    theirs = get_confusion_matrix(decided, one_hot(label[:, None], classes)).sum(0)  # [C, (tp, fp, tn, fn)]
    ours = confusion_matrix(label, probability)
    assert ours.diagonal().tolist() == theirs[:, 0].tolist()
    assert (ours.sum(0) - ours.diagonal()).tolist() == theirs[:, 1].tolist()
    assert ours.sum(1).tolist() == np.bincount(answers[0], minlength=classes).tolist()


def test_always_naming_the_frequent_class_is_balanced_chance():
    label, probability = [0] * 9 + [1], [[0.9, 0.1]] * 10
    assert accuracy(label, probability) == pytest.approx(0.9)
    assert balanced_accuracy(label, probability) == 0.5


def test_auc_ignores_monotone_changes_of_two_class_scores(answers):
    label, score = (answers[0] > 0).astype(int), answers[1][:, 0]
    squeezed = score**3
    first = macro_auc(label, np.stack([1 - score, score], 1))
    assert first == pytest.approx(macro_auc(label, np.stack([1 - squeezed, squeezed], 1)))


def test_auc_of_one_class_is_undefined():
    assert math.isnan(macro_auc([1, 1], [[0.2, 0.8], [0.6, 0.4]]))


@pytest.mark.parametrize("metric", METRICS)
def test_takes_tensors_of_any_kind(metric, answers):
    label, probability = answers
    tensors = torch.tensor(label, dtype=torch.int16), torch.tensor(probability, requires_grad=True)
    np.testing.assert_array_equal(metric(*tensors), metric(label, probability))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("label", "probability", "says"),
    [
        ([0, 1], [[0.5, 0.5]], r"\[2\] and \[1, 2\]"),
        ([0, 1], [0.5, 0.5], r"\[2\] and \[2\]"),
        ([], np.zeros((0, 2)), "no case"),
        ([0.0, 1.0], [[0.5, 0.5]] * 2, "integers"),
        ([0, 2], [[0.5, 0.5]] * 2, r"class 2 of case 1 is not one of 0..1"),
        ([0, -1], [[0.5, 0.5]] * 2, "class -1 of case 1"),
        ([0, 1], [[0.5, 0.5], [3.0, -2.0]], "row 1 is not a distribution.*softmax"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.9]], "row 1 is not a distribution"),
        ([0, 1], [[math.nan, 0.5], [0.5, 0.5]], "row 0 is nan or infinite.*diverge"),
    ],
)
def test_refuses_what_is_no_prediction(metric, label, probability, says):
    with pytest.raises(DataError, match=says):
        metric(np.array(label, dtype=None if label else int), probability)
