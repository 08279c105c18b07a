# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from monai_kd.metrics import Interval
from monai_kd.report import load_runs
from monai_kd.report.results import Comparison, Score, compare, rows_of
from monai_kd.report.tasks import CLASSIFICATION
from monai_kd.report.verdict import HELPS, NO_HELP, UNCLEAR, headline, judge

PRIMARY = CLASSIFICATION.primary


@pytest.fixture
def comparison(study) -> Comparison:
    return compare(rows_of(load_runs(study.root), resamples=100))[0]


def told(comparison: Comparison, gains: list[float], low: float, high: float) -> Comparison:
    """The same comparison, had these been its differences."""
    score = Score.of(gains)
    return replace(
        comparison,
        seeds=tuple(range(len(gains))),
        scores={PRIMARY: score},
        intervals={PRIMARY: Interval(score.mean, low, high, 0)},
    )


def test_a_clear_gain_helps_and_the_mirrored_loss_does_not(comparison):
    assert judge(comparison).kind == HELPS
    mirrored = replace(comparison, alone=comparison.distilled, distilled=comparison.alone)
    gain, span = comparison.scores[PRIMARY], comparison.intervals[PRIMARY]
    mirrored = told(mirrored, [-value for value in gain.seeds], -span.high, -span.low)
    assert judge(mirrored).kind == NO_HELP
    assert "train it alone" in judge(mirrored).sentence
    assert headline([comparison]) == "Distillation helps with 5 % labelled."
    assert headline([mirrored]) == "Distillation does not help with 5 % labelled."


@pytest.mark.parametrize(
    ("gains", "low", "high", "kind", "says"),
    [
        ([0.1, 0.2], 0.05, 0.2, HELPS, "better in 2 of 2"),
        ([-0.1, -0.2], -0.2, -0.05, NO_HELP, "worse"),
        ([0.1, -0.1], -0.05, 0.05, NO_HELP, "no gain"),
        ([0.1, -0.2], -0.15, 0.05, NO_HELP, "no gain"),
        ([0.004, 0.006], -0.01, 0.019, NO_HELP, "smaller than 0.02"),
        ([0.1, 0.2], -0.01, 0.3, UNCLEAR, "includes zero"),
        ([0.3, -0.1], 0.02, 0.2, UNCLEAR, "seeds disagree"),
        ([0.1, 0.2], math.nan, math.nan, UNCLEAR, "one group"),
        ([0.2], 0.1, 0.3, UNCLEAR, "One seed"),
        ([-0.2], -0.3, -0.1, UNCLEAR, "One seed"),
        ([math.nan, 0.1], math.nan, math.nan, UNCLEAR, "undefined"),
    ],
)
def test_each_rule(comparison, gains, low, high, kind, says):
    verdict = judge(told(comparison, gains, low, high))
    assert verdict.kind == kind
    assert says in verdict.sentence


def test_the_sentence_holds_the_numbers(comparison):
    sentence = judge(told(comparison, [0.1, 0.2], 0.05, 0.25)).sentence
    for role in (comparison.alone, comparison.distilled):
        assert f"{role.scores[PRIMARY].mean:.3f}" in sentence
    assert "+0.150 over 2 seeds (95 % interval +0.050 to +0.250)" in sentence


def test_no_common_seed_is_unclear(comparison):
    assert judge(replace(comparison, seeds=())).kind == UNCLEAR


def test_headline_tells_settings_apart(make_run):
    for setting, right in (("few labels", (0.3, 0.9)), ("all labels", (0.9, 0.3))):
        for seed in (0, 1):
            make_run("alone", seed, right[0], setting=setting)
            make_run("distilled", seed, right[1], setting=setting)
    found = compare(rows_of(load_runs(make_run.root), resamples=50))
    assert headline(found) == "Distillation helps with few labels, and does not help with all labels."


def test_headline_names_recipes_if_there_are_several(comparison):
    better, worse = told(comparison, [0.1, 0.2], 0.05, 0.2), told(comparison, [-0.1, -0.2], -0.2, -0.05)
    runs = tuple(replace(run, recipe="fitnets") for run in worse.distilled.runs)
    worse = replace(worse, distilled=replace(worse.distilled, runs=runs))
    said = headline([better, worse])
    assert said == "Distillation helps with 5 % labelled (kd), and does not help with 5 % labelled (fitnets)."


def test_headline_counts_if_there_are_many(comparison):
    better, worse = told(comparison, [0.1, 0.2], 0.05, 0.2), told(comparison, [-0.1, -0.2], -0.2, -0.05)
    said = headline([better] * 2 + [worse] * 3)
    assert said == "Distillation helps in 2 of 5 comparisons, and does not help in 3 of 5 comparisons."


def test_nothing_to_compare_is_said():
    assert "nothing to compare" in headline([])


@pytest.mark.parametrize(("high", "kind"), [(0.0049, NO_HELP), (0.0051, UNCLEAR)])
def test_each_task_has_its_smallest_gain(scores, high, kind):
    (found,) = compare(rows_of(load_runs(scores.root), resamples=5))
    gain = Score.of([0.002, 0.003])
    intervals = {"dice": Interval(gain.mean, -0.001, high, 0)}
    verdict = judge(replace(found, scores={"dice": gain}, intervals=intervals))
    assert verdict.kind == kind
    assert ("Any gain is smaller than 0.005" in verdict.sentence) == (kind == NO_HELP)


def test_segmentation_is_judged_by_mean_dice(scores):
    (found,) = compare(rows_of(load_runs(scores.root), resamples=50))
    verdict = judge(found)
    assert verdict.kind == HELPS
    means = [np.mean([run.dice for run in row.runs]) for row in (found.alone, found.distilled)]
    assert f"Mean Dice is {means[0]:.3f} alone and {means[1]:.3f} distilled" in verdict.sentence
    assert "Wilcoxon over 60 cases p < 0.001), better in 2 of 2" in verdict.sentence
