# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from monai_kd.metrics import accuracy, agreement, balanced_accuracy, macro_auc, resampled_rows
from monai_kd.report import load_runs
from monai_kd.report.results import Score, compare, plain, rows_of
from monai_kd.report.tasks import CLASSIFICATION
from monai_kd.utils.errors import DataError

PRIMARY = CLASSIFICATION.primary


@pytest.fixture
def rows(study):
    return rows_of(load_runs(study.root), resamples=40)


def test_rows_are_ordered_by_setting_then_role(make_run):
    for role, setting in [("teacher", "a"), ("distilled", "b"), ("alone", "b"), ("alone", "a"), ("teacher", "c")]:
        make_run(role, setting=setting)
    found = [(row.setting, row.role) for row in rows_of(load_runs(make_run.root), resamples=1)]
    assert found == [("c", "teacher"), ("b", "alone"), ("b", "distilled"), ("a", "teacher"), ("a", "alone")]


def test_scores_are_means_and_deviations_over_seeds(rows):
    for row in rows:
        for name, measure in CLASSIFICATION.scores.items():
            values = [measure.metric(run.label, run.probability) for run in row.runs]
            assert row.scores[name].seeds == pytest.approx(values)
            assert row.scores[name].mean == pytest.approx(statistics.mean(values))
            if len(values) > 1:
                assert row.scores[name].spread == pytest.approx(statistics.stdev(values))


def test_one_seed_has_no_spread():
    assert math.isnan(Score.of([0.5]).spread)


def test_agreement_is_with_the_teacher(rows):
    teacher, alone = rows[0].runs[0], rows[1]
    values = [agreement(run.probability, teacher.probability) for run in alone.runs]
    assert alone.scores["agreement"].mean == pytest.approx(statistics.mean(values))
    assert "agreement" not in rows[0].scores


def test_intervals_match_plain_loop(rows):
    runs = rows[2].runs
    for name, metric in {"accuracy": accuracy, PRIMARY: balanced_accuracy, "auc": macro_auc}.items():
        draws = [
            statistics.mean(metric(run.label[drawn], run.probability[drawn]) for run in runs)
            for drawn in resampled_rows(runs[0].group, n=40)
        ]
        found = rows[2].intervals[name]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_differences_are_paired_by_seed_and_resample(make_run):
    for role, seeds in {"alone": (0, 1, 2), "distilled": (7, 2, 1)}.items():
        for seed in seeds:
            make_run(role, seed, right=0.2 + 0.1 * seed)
    runs = {(run.role, run.seed): run for run in load_runs(make_run.root)}
    pairs = [(runs["alone", seed], runs["distilled", seed]) for seed in (1, 2)]

    def gains(rows=slice(None)) -> list[float]:
        return [
            accuracy(b.label[rows], b.probability[rows]) - accuracy(a.label[rows], a.probability[rows])
            for a, b in pairs
        ]

    (found,) = compare(rows_of(list(runs.values()), resamples=40))
    draws = [statistics.mean(gains(rows)) for rows in resampled_rows(pairs[0][0].group, n=40)]
    assert found.seeds == (1, 2)
    assert found.scores["accuracy"].seeds == pytest.approx(gains())
    ends = found.intervals["accuracy"].low, found.intervals["accuracy"].high
    assert ends == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_the_student_against_itself_differs_by_nothing(make_run):
    same = make_run.predictions(0.6, 3)
    make_run("alone", probability=same)
    make_run("distilled", probability=same)
    (found,) = compare(rows_of(load_runs(make_run.root), resamples=20))
    assert found.intervals[PRIMARY] == (0, 0, 0, 0)


def test_settings_are_not_compared_with_each_other(make_run):
    make_run("alone", setting="a")
    make_run("distilled", setting="b")
    assert compare(rows_of(load_runs(make_run.root), resamples=5)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("case", np.array([f"other{i:02d}" for i in range(60)])),
        ("label", np.arange(60) % 2),
        ("group", np.arange(60) // 5),
    ],
)
def test_students_tested_on_different_cases_are_refused(make_run, key, value):
    first, second = make_run("alone"), make_run("distilled", **{key: value})
    with pytest.raises(DataError, match=f"predictions.npz, key '{key}': differs from") as error:
        compare(rows_of(load_runs(make_run.root), resamples=5))
    assert str(first) in str(error.value) and str(second) in str(error.value)


def test_costs_average_what_is_known(make_run):
    for seed, latency in enumerate([0.2, None, 0.4]):
        make_run("alone", seed, latency_ms=latency, flops=None)
    (row,) = rows_of(load_runs(make_run.root), resamples=5)
    assert row.costs["latency_ms"] == pytest.approx(0.3)
    assert row.costs["flops"] is None


def test_plain_turns_nan_into_null():
    assert plain({"a": Score((1.0,), 1.0, math.nan)}) == {"a": {"seeds": [1.0], "mean": 1.0, "spread": None}}


def test_intervals_of_segmentation_match_plain_loop(scores):
    alone, distilled = rows_of(load_runs(scores.root), resamples=40)[1:]
    (found,) = compare([alone, distilled])
    draws = {key: [] for key in ("dice", "dice_back", "hd95")}
    for drawn in resampled_rows(alone.runs[0].group, n=40):
        apart = [(b.dice - a.dice, b.hd95 - a.hd95) for a, b in zip(alone.runs, distilled.runs, strict=True)]
        draws["dice"].append(statistics.mean(dice[drawn].mean() for dice, _ in apart))
        draws["dice_back"].append(statistics.mean(dice[drawn, 1].mean() for dice, _ in apart))
        draws["hd95"].append(statistics.mean(hd95[drawn].mean() for _, hd95 in apart))
    for key, values in draws.items():
        ends = found.intervals[key].low, found.intervals[key].high
        assert ends == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def few(make_scores, *dice: np.ndarray):
    """Compare a student with two seeds of Dice 0.5 everywhere with one that has these differences."""
    cases = np.array([f"case{i}" for i in range(len(dice[0]))])
    rest = {"structures": np.array(["whole"]), "hd95": np.ones((len(cases), 1)), "case": cases, "group": cases}
    for seed, apart in enumerate(dice):
        make_scores("alone", seed, dice=np.full((len(cases), 1), 0.5), **rest)
        make_scores("distilled", seed, dice=0.5 + apart[:, None], **rest)
    (found,) = compare(rows_of(load_runs(make_scores.root), resamples=5))
    return found


def test_signed_rank_test_matches_every_turn_of_the_signs(make_scores):
    first, second = 0.1 * np.random.default_rng(3).random((2, 8)) - 0.03
    found = few(make_scores, first, second)
    apart = (first + second) / 2  # seeds first: a case counts once
    np.testing.assert_allclose(found.by_case["dice"], apart, atol=1e-12)
    ranks = np.argsort(np.argsort(np.abs(apart))) + 1

    def lesser(signs) -> int:
        up = sum(int(rank) for rank, sign in zip(ranks, signs, strict=True) if sign > 0)
        return min(up, int(ranks.sum()) - up)

    turns = list(itertools.product((-1, 1), repeat=8))
    as_far = sum(lesser(signs) <= lesser(np.sign(apart)) for signs in turns)
    assert found.p_values["dice"] == pytest.approx(as_far / len(turns))


def test_no_difference_has_the_p_value_of_one(make_scores):
    found = few(make_scores, np.array([0.1, -0.2, 0.3]), np.array([-0.1, 0.2, -0.3]))
    assert found.p_values == {"dice": 1.0, "hd95": 1.0}


def test_classification_has_no_test_by_case(rows):
    assert compare(rows)[0].p_values == {}


def test_segmentations_of_different_groups_are_refused(make_scores):
    make_scores("alone")
    make_scores("distilled", group=np.arange(60) // 5)
    with pytest.raises(DataError, match=r"scores.npz, key 'group': differs from"):
        compare(rows_of(load_runs(make_scores.root), resamples=5))


def test_seeds_of_a_case_are_averaged_so_they_share_the_cases(make_scores):
    for seed in (0, 1):
        for role in ("alone", "distilled"):
            make_scores(role, seed, case=np.array([f"case{i + seed:03d}" for i in range(60)]))
    with pytest.raises(DataError, match=r"02_alone/scores.npz, key 'case': differs from .*00_alone"):
        compare(rows_of(load_runs(make_scores.root), resamples=5))
