# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil

import numpy as np
import pytest

from monai_kd.report.tasks import CLASSIFICATION, MULTILABEL, read_task, segmentation
from monai_kd.utils.errors import DataError


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return generator.random((5, 3)), 9 * generator.random((5, 3))


def test_means_match_plain_loop(arrays):
    task = segmentation(["a", "b", "c"])
    for key, values in zip(("dice", "hd95"), arrays, strict=True):
        whole = 0.0
        for i, name in enumerate("abc"):
            total = 0.0
            for n in range(5):
                total += float(values[n, i])
            assert task.scores[f"{key}_{name}"].metric(*arrays) == pytest.approx(total / 5)
            whole += total / 5
        assert task.scores[key].metric(*arrays) == pytest.approx(whole / 3)


def test_a_score_is_the_mean_of_its_cases(arrays):
    for measure in segmentation(["a", "b", "c"]).scores.values():
        assert measure.metric(*arrays) == pytest.approx(measure.by_case(*arrays).mean())


def test_one_structure_needs_no_mean_over_structures():
    scores = segmentation(["nucleus"]).scores
    assert [measure.name for measure in scores.values()] == ["Dice of nucleus", "HD95 of nucleus"]
    assert scores["hd95"].below == "nucleus, mm" and scores["hd95"].lower


TASKS = [CLASSIFICATION, MULTILABEL, segmentation(["a"]), segmentation(["a", "b"])]


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_what_a_task_names_is_there(task):
    assert {task.primary, *task.columns, *task.charts} <= set(task.scores)
    assert all(task.scores[key].resampled for key in (task.primary, *task.charts))
    assert not task.scores[task.primary].lower


def test_the_file_tells_the_task(make_run, make_scores):
    assert read_task(make_run("alone"))[0] is CLASSIFICATION
    assert read_task(make_scores("alone"))[0].name == "segmentation"


def test_a_run_of_two_tasks_or_none_is_refused(make_run, make_scores):
    folder = make_run("alone")
    shutil.copy(make_scores("alone") / "scores.npz", folder)
    with pytest.raises(DataError, match=f"{folder}: holds both predictions.npz and scores.npz"):
        read_task(folder)
    for file in folder.glob("*.npz"):
        file.unlink()
    with pytest.raises(DataError, match=f"{folder}: holds no predictions.npz and no scores.npz. evaluate the run"):
        read_task(folder)
