# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_kd.metrics import (
    accuracy,
    bootstrap_draws,
    bootstrap_interval,
    macro_auc,
    percentile_interval,
    resampled_rows,
)
from monai_kd.utils.errors import DataError


def clustered(groups: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cases of which a whole group is right or wrong together, three groups in four being right."""
    generator = np.random.default_rng(seed)
    label = generator.integers(2, size=groups * size)
    right = np.repeat(generator.random(groups) < 0.75, size)
    answer = np.where(right, label, 1 - label)
    return label, np.eye(2)[answer] * 0.8 + 0.1, np.repeat(np.arange(groups), size)


def test_resamples_are_whole_groups_as_many_as_there_are():
    group = np.array(["b", "a", "b", "c", "a", "b"])
    for rows in resampled_rows(group, n=50):
        drawn = {name: (group[rows] == name).sum() / (group == name).sum() for name in "abc"}
        assert all(times == int(times) for times in drawn.values())
        assert sum(drawn.values()) == 3


def test_every_group_is_drawn_about_equally_often():
    rows = np.concatenate(list(resampled_rows([0, 1, 1, 2, 2, 2], n=3000)))
    assert np.bincount(rows) / 3000 == pytest.approx(np.ones(6), abs=0.06)


def test_draws_are_the_metric_of_the_resamples():
    label, probability, group = clustered(6, 4)
    expected = [accuracy(label[rows], probability[rows]) for rows in resampled_rows(group, n=20, seed=3)]
    assert bootstrap_draws(accuracy, label, probability, group, n=20, seed=3).tolist() == expected


def test_interval_is_made_of_quantiles():
    label, probability, group = clustered(12, 5)
    found = bootstrap_interval(accuracy, label, probability, group, n=400, level=0.9)
    draws = bootstrap_draws(accuracy, label, probability, group, n=400)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
    assert found.low < found.value == accuracy(label, probability) < found.high


def test_single_cases_give_the_interval_of_the_binomial():
    label, probability, _ = clustered(400, 1)
    found = bootstrap_interval(accuracy, label, probability, np.arange(400), n=1000)
    error = math.sqrt(found.value * (1 - found.value) / 400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_correlated_cases_widen_the_interval():
    label, probability, group = clustered(40, 9)
    whole = bootstrap_interval(accuracy, label, probability, group, n=300)
    single = bootstrap_interval(accuracy, label, probability, np.arange(len(label)), n=300)
    assert whole.high - whole.low == pytest.approx(3 * (single.high - single.low), rel=0.25)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    held = [bootstrap_interval(accuracy, *clustered(60, 2, seed), n=200) for seed in range(100)]
    assert 86 <= sum(interval.low <= 0.75 <= interval.high for interval in held) <= 100


def test_undefined_resamples_are_counted_and_left_out():
    label, probability, group = np.array([0, 0, 1, 1]), np.eye(2)[[0, 0, 1, 1]], [0, 0, 1, 1]
    found = bootstrap_interval(macro_auc, label, probability, group, n=500)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    single = sum(len(set(label[rows])) == 1 for rows in resampled_rows(group, n=500))
    assert found.undefined == single > 200


def test_one_class_is_undefined_throughout():
    found = bootstrap_interval(macro_auc, [1, 1], [[0.5, 0.5]] * 2, [0, 1], n=7)
    assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)
    assert found.undefined == 7


def test_one_group_has_no_interval():
    found = bootstrap_interval(accuracy, [0, 1], [[0.9, 0.1]] * 2, ["a", "a"], n=5)
    assert found.value == 0.5
    assert math.isnan(found.low) and math.isnan(found.high)


def test_paired_difference_of_equal_networks_is_exactly_zero():
    label, probability, group = clustered(10, 3)
    both = np.stack([probability, probability], 1)
    found = bootstrap_interval(lambda y, p: accuracy(y, p[:, 1]) - accuracy(y, p[:, 0]), label, both, group, n=50)
    assert found == (0, 0, 0, 0)


def test_same_seed_same_interval_and_tensors_are_welcome():
    label, probability, group = clustered(8, 2)
    first = bootstrap_interval(accuracy, label, probability, group, n=50, seed=1)
    again = bootstrap_interval(accuracy, *map(torch.tensor, (label, probability, group)), n=50, seed=1)
    assert first == again
    assert first != bootstrap_interval(accuracy, label, probability, group, n=50, seed=2)


def test_interval_of_nothing_is_nan():
    assert math.isnan(percentile_interval(0.5, [math.nan]).low)


def test_refuses_groups_of_other_cases():
    with pytest.raises(DataError, match=r"group: \[3\] for 2 labels"):
        bootstrap_interval(accuracy, [0, 1], [[0.5, 0.5]] * 2, [0, 1, 2])
