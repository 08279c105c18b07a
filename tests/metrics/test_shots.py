# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
from monai.metrics import compute_average_precision
from torch import from_numpy

from monai_kd.metrics import shot_scores
from monai_kd.utils import DataError

SUBSETS = {"many": [0, 3], "medium": [2], "few": [1, 4]}


def test_each_class_of_a_subset_counts_the_same():
    random = np.random.RandomState(0)
    label = random.choice(5, 200, p=[0.5, 0.03, 0.1, 0.35, 0.02])
    probability = random.dirichlet(np.ones(5), 200) * 0.5 + 0.5 * np.eye(5)[np.where(random.rand(200) < 0.5, label, 0)]
    scores = shot_scores(label, probability, SUBSETS)
    for name, classes in SUBSETS.items():
        recalls = []
        for c in classes:
            mine = [i for i in range(200) if label[i] == c]
            recalls.append(sum(probability[i].argmax() == c for i in mine) / len(mine))
        assert scores[name] == pytest.approx(sum(recalls) / len(recalls))
    assert scores["mean"] == pytest.approx(sum(scores[name] for name in SUBSETS) / 3)


def test_of_findings_it_is_the_average_precision():
    random = np.random.RandomState(0)
    label, probability = (random.rand(80, 5) < [0.5, 0.1, 0.2, 0.4, 0.05]).astype(int), random.rand(80, 5)
    scores = shot_scores(label, probability, SUBSETS)
    for name, classes in SUBSETS.items():
        ap = [compute_average_precision(*(from_numpy(x[:, c]) for x in (probability, label))) for c in classes]
        assert scores[name] == pytest.approx(np.mean(ap))


def test_what_does_not_occur_is_left_out_and_what_cannot_be_is_refused():
    scores = shot_scores([0, 3], [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]], SUBSETS)
    assert scores["many"] == scores["mean"] == 0.5 and math.isnan(scores["few"]) and math.isnan(scores["medium"])
    assert shot_scores([0, 0], [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], SUBSETS)["many"] == 0.5  # no case of class 3
    for label in ([0], [[1, 0]]):
        with pytest.raises(DataError, match=r"7 is not one of 0\.\.1"):
            shot_scores(label, [[0.5, 0.5]], {"few": [7]})
