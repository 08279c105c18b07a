# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.report import load_runs
from monai_kd.utils.errors import DataError


def test_reads_every_folder_below_in_the_order_of_paths(study, make_run):
    runs = load_runs(study.root.parent)
    assert [run.role for run in runs] == ["teacher", "alone", "distilled", "alone", "distilled"]
    assert runs[0].classes == ("0", "1", "2")


def test_no_run_says_where_it_looked(tmp_path):
    with pytest.raises(DataError, match=r"there is no run.*run\.json") as error:
        load_runs(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(error.value)


def test_the_one_teacher_lends_its_answers(study):
    runs = load_runs(study.root)
    assert runs[0].teacher_probability is None
    assert all(np.array_equal(run.teacher_probability, runs[0].probability) for run in runs[1:])


def test_recorded_answers_of_the_teacher_come_first(make_run):
    make_run("teacher")
    own = make_run.predictions(0.5, 99)
    make_run("alone", teacher_probability=own)
    np.testing.assert_array_equal(load_runs(make_run.root)[1].teacher_probability, own)


def test_no_answers_are_borrowed_from_one_of_two_teachers(make_run):
    make_run("teacher", title="one")
    make_run("teacher", title="two")
    make_run("alone")
    assert load_runs(make_run.root)[2].teacher_probability is None


def test_no_answers_are_borrowed_from_a_teacher_of_other_cases(make_run):
    make_run("teacher", case=np.array([f"other{i}" for i in range(60)]))
    make_run("alone")
    assert load_runs(make_run.root)[1].teacher_probability is None


def test_two_runs_of_one_name_are_refused(make_run):
    first, second = make_run("alone"), make_run("alone")
    with pytest.raises(DataError) as error:
        load_runs(make_run.root)
    assert str(first) in str(error.value) and str(second) in str(error.value)


def test_class_names_must_be_of_the_same_task(make_run):
    make_run("alone", classes=["a", "b", "c"])
    make_run("distilled", classes=["a", "b", "d"])
    with pytest.raises(DataError, match="classes a, b, d differ from a, b, c"):
        load_runs(make_run.root)


def test_class_names_must_be_as_many_as_classes(make_run):
    make_run("alone", classes=["a", "b"])
    with pytest.raises(DataError, match="key 'classes': 2 names for 3 classes"):
        load_runs(make_run.root)


def test_tasks_are_not_mixed(make_run, make_scores):
    first, second = make_run("alone"), make_scores("distilled")
    with pytest.raises(DataError, match=r"scores\.npz: is of segmentation, but .*predictions\.npz of classif") as error:
        load_runs(make_run.root.parent)
    assert str(first) in str(error.value) and str(second) in str(error.value)


def test_structures_must_be_the_same(make_scores):
    make_scores("alone")
    make_scores("distilled", structures=np.array(["back", "front"]))
    with pytest.raises(
        DataError, match=r"scores.npz, key 'structures': structures back, front differ from front, back"
    ):
        load_runs(make_scores.root)


def test_class_names_must_be_the_background_and_the_structures(make_scores):
    make_scores("alone", classes=["outside", "front", "back"])
    assert load_runs(make_scores.root)[0].classes == ("front", "back")
    make_scores("distilled", classes=["front", "back"])
    with pytest.raises(DataError, match=r"run.json, key 'classes': front, back are not a background and front, back"):
        load_runs(make_scores.root)


def test_distances_must_be_of_one_unit(make_scores):
    make_scores("alone")
    make_scores("distilled", unit=np.array("px"))
    with pytest.raises(DataError, match=r"scores.npz, key 'unit': px differs from mm"):
        load_runs(make_scores.root)


def test_scores_hold_no_answers_to_borrow(scores):
    assert all(run.teacher_probability is None for run in load_runs(scores.root))
