# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_kd.data import check_dataset, has_modality, load_datalist
from monai_kd.utils.errors import DataError
from tests.faults.make import noise, write, write_list

SECRET = 63.25  # whatever is told of a fault, a number of a patient is not
BAD = [
    ([SECRET, 1], "has 2 numbers, expected 3", "K32"),
    ([], "has 0 numbers, expected 3", "K32"),
    ([SECRET, 1, True], "holds a bool at place 2, not a number", "K32"),
    ([SECRET, "1", 1], "holds a str at place 1, not a number", "K32"),
    ([SECRET, None, 1], "holds a NoneType at place 1, not a number", "K32"),
    (SECRET, "is a float, not a list of numbers", "K32"),
    ("1.png", "is a str, not a list of numbers", "K32"),
    ([SECRET, float("nan"), 1], "is nan, infinite or beyond float32 at place 1", "K39"),
    ([SECRET, 10**400, 1e39], "is nan, infinite or beyond float32 at place 1, and at 1 more", "K39"),
]


@pytest.fixture
def items(tmp_path) -> list[dict]:
    """Six items with three numbers each."""
    return [
        {"image": write(tmp_path / f"{i}.png", noise((9, 7), i)).name, "label": i % 2, "genes": [i, 0.5, -1e-3]}
        for i in range(6)
    ]


def test_vectors_are_float32_beside_what_items_are_anyway(tmp_path, items):
    write_list(tmp_path, training=items)
    found = load_datalist(tmp_path, vectors={"genes": 3})
    assert all(item["genes"].dtype == np.float32 and item["genes"].shape == (3,) for item in found)
    assert found[4]["genes"].tolist() == np.float32([4, 0.5, -1e-3]).tolist()
    plain = load_datalist(tmp_path)
    assert [{k: v for k, v in item.items() if k != "genes"} for item in found] == plain
    assert has_modality(tmp_path, "genes")


@pytest.mark.parametrize(("value", "told", "fault"), BAD)
def test_what_is_no_vector_is_named_by_its_case(tmp_path, items, value, told, fault):
    items[2] |= {"genes": value, "case": "c2"}
    with pytest.raises(DataError) as caught:
        load_datalist(write_list(tmp_path, training=items), vectors={"genes": 3})
    assert f"dataset.json, training[2], case 'c2': 'genes' {told}. each item needs 3 finite" in str(caught.value)
    assert "--vectors::genes NUMBER" in str(caught.value)
    assert str(SECRET) not in str(caught.value)


def test_a_vector_that_is_missing_is_named(tmp_path, items):
    del items[5]["genes"]
    with pytest.raises(DataError, match=r"training\[5\], case '5': 'genes' is missing"):
        load_datalist(write_list(tmp_path, training=items), vectors={"genes": 3})


def test_a_key_is_a_file_everywhere_or_a_vector_everywhere(tmp_path, items):
    for item in items:
        item["genes"] = item["image"]
    items[3]["genes"] = [1, 2, 3]
    write_list(tmp_path, training=items)
    with pytest.raises(DataError, match=r"training\[3\]: 'genes' is a list of numbers, not a path.*in all items"):
        load_datalist(tmp_path, keys=["genes"])
    with pytest.raises(DataError, match=r"training\[0\], case '0': 'genes' is a str"):
        load_datalist(tmp_path, vectors={"genes": 3})


@pytest.mark.parametrize(
    ("vectors", "told"),
    [({"label": 3}, "'label'.*something else"), ({"more": 3}, "'more'.*something else"), ({"genes": 0}, "got 0")],
)
def test_what_cannot_be_declared(tmp_path, items, vectors, told):
    with pytest.raises(DataError, match=told):
        load_datalist(write_list(tmp_path, training=items), keys=["image", "more"], vectors=vectors)


def findings(folder: Path, **sections: list) -> list[tuple[str, str, str]]:
    report = check_dataset(write_list(folder, **sections))
    return [(one.fault, one.item, one.what) for one in report.findings if one.severity == "error"]


def test_check_accepts_vectors_of_one_length(tmp_path, items):
    for item in items[4:]:
        del item["genes"]  # which validation needs not
    report = check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:]))
    assert report.ok and report.shapes["genes"] == [[3], [3]]
    asked = check_dataset(tmp_path, keys=["genes"]).findings
    assert [one.item for one in asked if one.severity == "error"] == ["validation[0]", "validation[1]"]


@pytest.mark.parametrize(("value", "told", "fault"), BAD)
def test_check_names_each_bad_vector(tmp_path, items, value, told, fault):
    items[2] |= {"genes": value, "case": "c2"}
    found = [one for one in findings(tmp_path, training=items) if one[0] == fault]
    assert [(item, told in what) for _, item, what in found] == [("training[2]", True)]
    assert found[0][2].startswith("case c2: genes ")
    assert str(SECRET) not in json.dumps(check_dataset(tmp_path).to_json()) + check_dataset(tmp_path).table()


def test_check_names_training_items_without(tmp_path, items):
    del items[1]["genes"]
    (one,) = findings(tmp_path, training=items[:4], validation=items[4:])
    assert one == ("K30", "training[1]", "case 1.png: genes is missing, though other items have it")


def test_check_passes_over_lists_that_are_no_vectors(tmp_path, items):
    items[0] |= {"sites": ["a", "b"], "boxes": [[1, 2], [3, 4]]}
    assert check_dataset(write_list(tmp_path, training=items)).ok
    assert check_dataset(tmp_path, keys=[]).ok and "genes" not in check_dataset(tmp_path, keys=[]).shapes
