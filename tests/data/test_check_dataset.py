# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
from PIL import Image

from monai_kd.data import check_dataset
from monai_kd.data.checks.report import DatasetReport, Finding
from monai_kd.data.picture_headers import check_header
from monai_kd.utils.errors import DataError
from tests.faults.make import faults, noise, write, write_list, write_series


@pytest.fixture
def items(tmp_path) -> list[dict]:
    return [{"image": write(tmp_path / f"{i}.png", noise((9, 7), i)).name, "label": i % 2} for i in range(8)]


def leaks(folder, **sections) -> list[tuple[str, str]]:
    report = check_dataset(write_list(folder, **sections))
    return [(one.severity, one.item) for one in report.findings if one.fault in ("leak", "fold")]


def test_patient_in_two_sections(tmp_path, items):
    items[1]["patient"] = items[5]["patient"] = "p"
    assert leaks(tmp_path, training=items[:4], validation=items[4:]) == [("error", "validation[1]")]
    assert leaks(tmp_path, training=items) == []


def test_patient_in_two_folds(tmp_path, items):
    for number, item in enumerate(items):
        item |= {"fold": number // 4, "patient": number % 7}
    assert leaks(tmp_path, training=items) == [("error", "training[7]")]


def test_same_image_by_path_and_by_content(tmp_path, items):
    twice = {"image": "./0.png", "label": 0}
    assert leaks(tmp_path, training=[*items[:4], twice], validation=items[4:]) == [("warning", "training[4]")]
    assert leaks(tmp_path, training=items[:4], validation=[*items[4:], twice]) == [("error", "validation[4]")]
    write(tmp_path / "copy.bmp", noise((9, 7), 0))  # other bytes, same pixels
    copy = {"image": "copy.bmp", "label": 0}
    assert leaks(tmp_path, training=[*items[:4], copy], validation=items[4:]) == [("warning", "training[4]")]
    assert leaks(tmp_path, training=items[:4], validation=[*items[4:], copy]) == [("error", "validation[4]")]


def test_folds_that_do_not_hold(tmp_path, items):
    for item in items:
        item["fold"] = 0
    assert leaks(tmp_path, training=items) == [("error", "")]
    assert leaks(tmp_path, training=items[:4], validation=items[4:]) == [("warning", "")]
    items[0]["fold"], items[1]["fold"] = "1", 1
    del items[2]["fold"]
    assert leaks(tmp_path, training=items) == [("error", "training[0]"), ("error", "training[2]")]


def test_items_that_are_none(tmp_path, items):
    report = check_dataset(write_list(tmp_path, training=[*items, 3, {"label": 0}], validation={}, test=["0.png"]))
    assert {one.item for one in report.findings if one.severity == "error"} >= {
        "training[8]",
        "training[9]",
        "validation",
    }


def test_test_section_may_have_no_labels(tmp_path, items):
    names = [item["image"] for item in items]
    assert faults(check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:6], test=names[6:]))) == []
    mixed = [items[6], names[7]]
    assert faults(check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:6], test=mixed))) == ["K24"]


def test_keys(tmp_path, items):
    items[0] |= {"privileged": "gone.png", "site": "north", "patient": "0.png", "report": 999 * "text "}
    path = write_list(tmp_path, training=items[:4], validation=items[4:])
    assert faults(check_dataset(path)) == ["K30"]
    assert faults(check_dataset(path, keys=["image"])) == []
    assert faults(check_dataset(path / "dataset.json", keys=["image"])) == []
    assert len(faults(check_dataset(path, keys=["privileged"]))) == 8


def test_second_modality_may_be_a_folder(tmp_path, items):
    write_series(tmp_path / "series", [0, 1])
    items[0]["privileged"] = "series"
    report = check_dataset(write_list(tmp_path, training=items))
    assert report.shapes["privileged"] == [[8, 6, 2], [8, 6, 2]] and faults(report) == ["K32"]


@pytest.mark.parametrize(("mode", "bits"), [("I;16", 16), ("1", 1)])
def test_pictures_that_the_classification_bundles_refuse_are_told(tmp_path, items, mode, bits):
    for item in items[:2]:
        Image.new(mode, (8, 6), 1).save(tmp_path / item["image"])
    report = check_dataset(write_list(tmp_path, training=items[1:]))
    told = [one.what for one in report.findings if one.fault == "K36"]
    assert told == [f"has {bits} bits a channel, and the classification bundles refuse what has not 8"]
    with pytest.raises(DataError, match=f"has {bits} bits a channel, expected 8"):
        check_header(str(tmp_path / items[1]["image"]), 1, "image", items[1]["image"])


def test_no_data_set(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        check_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("[1]")
    with pytest.raises(DataError):
        check_dataset(tmp_path)


def test_table_is_short_and_worst_first():
    findings = [Finding("warning", "K26", f"w{i}", item=f"training[{i}]") for i in range(60)]
    report = DatasetReport([*findings, Finding("error", "K30", "broken\n", "a\tb.nii", "training[9]", "mend it")])
    lines = report.table().splitlines()
    assert len(lines) == 52 and lines[-1] == "and 11 more"
    assert lines[1].split() == ["error", "K30", "training[9]", "a?b.nii", "broken?;", "mend", "it"]
    assert len(json.loads(json.dumps(report.to_json()))["findings"]) == 61
