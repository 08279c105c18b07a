# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_kd.report.files import read_examples, read_history, read_predictions, read_scores, read_settings
from monai_kd.utils.errors import DataError


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("role", "tutor", "one of teacher, alone, distilled, got 'tutor'"),
        ("seed", "0", "an integer"),
        ("seed", True, "an integer"),
        ("title", 3, "a text"),
        ("recipe", 3, "a text or null"),
        ("flops", -1, "not negative"),
        ("latency_ms", "fast", "a number"),
        ("file_bytes", float("nan"), "a number"),
        ("classes", "abc", "a list of names"),
        ("environment", [], "a mapping"),
    ],
)
def test_a_wrong_value_names_file_and_key(make_run, key, value, says):
    path = make_run("alone") / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DataError, match=says) as error:
        read_settings(path)
    assert str(path) in str(error.value) and f"'{key}'" in str(error.value)


@pytest.mark.parametrize("key", ["role", "seed", "setting", "command", "split", "parameters", "train_seconds"])
def test_a_missing_key_is_named(make_run, key):
    path = make_run("alone") / "run.json"
    values = json.loads(path.read_text())
    del values[key]
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"run.json, key '{key}': is missing"):
        read_settings(path)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is not JSON"), ("[]", "must hold a mapping"), ("\xff", "is not JSON")]
)
def test_what_is_no_mapping_is_refused(tmp_path, text, says):
    path = tmp_path / "run.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"run\.json: {says}"):
        read_settings(path)


def test_costs_may_be_unknown(make_run):
    assert read_settings(make_run("alone", flops=None) / "run.json")["flops"] is None


def test_history_reads_columns_and_gaps(make_run):
    folder = make_run("alone")
    make_run.history(folder, {"epoch": [1, 2], "kd": [0.5, 0.25], "val_accuracy": ["", 0.75]})
    history = read_history(folder / "history.csv")
    assert history["kd"].tolist() == [0.5, 0.25]
    np.testing.assert_array_equal(history["val_accuracy"], [np.nan, 0.75])


def test_no_history_is_no_columns(tmp_path):
    assert read_history(tmp_path / "history.csv") == {}
    assert read_examples(tmp_path / "examples.npz") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,loss\n1,2\n", "column 'epoch': is missing. columns: step, loss"),
        ("", "column 'epoch': is missing. columns: none"),
        ("epoch,loss\n1,2\n2,low\n", "line 3, column 'loss': is not a number: 'low'"),
        ("epoch,loss\n,2\n", "column 'epoch': has an empty cell"),
        ("epoch,loss\n1,2,3\n", "line 2: has more cells"),
    ],
)
def test_a_broken_history_names_the_cell(tmp_path, text, says):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(DataError, match=f"history.csv, {says}"):
        read_history(tmp_path / "history.csv")


def test_predictions_are_sorted_by_case(make_run):
    first = read_predictions(make_run("alone") / "predictions.npz")
    order = np.random.default_rng(0).permutation(len(first["label"]))
    mixed = make_run("alone", **{key: values[order] for key, values in first.items()})
    for key, values in read_predictions(mixed / "predictions.npz").items():
        np.testing.assert_array_equal(values, first[key])


@pytest.mark.parametrize("key", ["case", "label", "probability", "group"])
def test_a_missing_array_is_named(make_run, key):
    folder = make_run("alone", **{key: None})
    with pytest.raises(DataError, match=f"predictions.npz, key '{key}': is missing. keys: "):
        read_predictions(folder / "predictions.npz")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("label", np.full(60, 3), "label: class 3 of case 0"),
        ("probability", np.full((60, 3), 2.0), "probability: row 0 is not a distribution"),
        ("probability", np.full((59, 3), 1 / 3), "label and probability"),
        ("group", np.zeros(59), r"group: expected shape \[60\], got \[59\]"),
        ("case", np.array(["a"]), r"case: expected shape \[60\], got \[1\]"),
        ("case", np.array(["twin"] * 60), "key 'case': case 'twin' occurs more than once"),
        ("teacher_probability", np.full((60, 2), 0.5), r"teacher_probability: expected shape \[60, 3\], got \[60, 2\]"),
        ("case", np.array([{}] * 60, dtype=object), "cannot be read.*save plain arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_named(make_run, key, value, says):
    path = make_run("alone", **{key: value}) / "predictions.npz"
    with pytest.raises(DataError, match=says) as error:
        read_predictions(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"predictions\.npz: cannot be read"):
        read_predictions(tmp_path / "predictions.npz")


def test_missing_predictions_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"predictions\.npz: there is no such file. evaluate the run"):
        read_predictions(tmp_path / "predictions.npz")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("images", np.zeros((2, 4, 4))),
        ("images", np.zeros((2, 4, 4, 2), np.uint8)),
        ("images", np.zeros((3, 4, 4), np.uint8)),
        ("privileged", np.zeros((2, 4), np.uint8)),
        ("label", np.zeros(2)),
        ("teacher", np.zeros((2, 3), int)),
    ],
)
def test_a_wrong_example_array_is_named(tmp_path, key, value):
    arrays = {"images": np.zeros((2, 4, 4), np.uint8), "label": np.zeros(2, int)}
    np.savez(tmp_path / "examples.npz", **{**arrays, key: value})
    with pytest.raises(DataError, match=f"examples.npz, key '{key}': expected"):
        read_examples(tmp_path / "examples.npz")


def test_scores_are_sorted_by_case(make_scores):
    first = read_scores(make_scores("alone") / "scores.npz")
    order = np.random.default_rng(0).permutation(len(first["case"]))
    changes = {
        key: values[order] if len(values.shape) and len(values) == 60 else values for key, values in first.items()
    }
    for key, values in read_scores(make_scores("alone", **changes) / "scores.npz").items():
        np.testing.assert_array_equal(values, first[key])


@pytest.mark.parametrize("key", ["case", "group", "structures", "dice", "hd95"])
def test_a_missing_score_is_named(make_scores, key):
    folder = make_scores("alone", **{key: None})
    with pytest.raises(DataError, match=f"scores.npz, key '{key}': is missing. keys: "):
        read_scores(folder / "scores.npz")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("case", np.array([["a"] * 60]), r"expected shape \[60\], got \[1, 60\]"),
        ("case", np.array([], dtype=str), "there is no case"),
        ("case", np.array(["twin"] * 60), "case 'twin' occurs more than once"),
        ("group", np.zeros(59), r"expected shape \[60\], got \[59\]"),
        ("structures", np.array("front"), r"expected shape \[S\], got \[\]"),
        ("structures", np.array(["front", "front"]), "a name occurs twice: front, front"),
        ("unit", np.array(["mm", "px"]), r"expected a text, got <U2 \[2\]"),
        ("dice", np.ones(60), r"expected shape \[60, 2\], got \[60\]"),
        ("hd95", np.ones((60, 3)), r"expected shape \[60, 2\], got \[60, 3\]"),
        ("dice", np.full((60, 2), "high"), "must hold numbers"),
        ("dice", np.full((60, 2), 91.0), "91 of case 'case000', 'front' is not in 0..1"),
        ("dice", np.full((60, 2), np.nan), "nan of case 'case000', 'front' is not in 0..1"),
        ("hd95", np.full((60, 2), np.inf), "inf of case 'case000', 'front' is not a distance"),
        ("hd95", np.full((60, 2), -1.0), "-1 of case 'case000', 'front' is not a distance"),
    ],
)
def test_scores_that_do_not_fit_are_named(make_scores, key, value, says):
    path = make_scores("alone", **{key: value}) / "scores.npz"
    with pytest.raises(DataError, match=f"{path}, key '{key}': {says}"):
        read_scores(path)
