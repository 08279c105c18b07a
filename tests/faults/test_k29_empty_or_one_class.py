# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.data import check_dataset
from tests.faults.make import faults, noise, write, write_list


@pytest.fixture
def items(tmp_path) -> list[dict]:
    return [
        {"image": write(tmp_path / f"{i}.png", noise((9, 7), i)).name, "label": i % 2, "patient": f"p{i}"}
        for i in range(8)
    ]


def test_sound_set(tmp_path, items):
    report = check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:]), num_classes=2)
    assert report.ok and report.findings == [] and report.table() == ""
    assert report.cases == {"training": 4, "validation": 4}
    assert report.classes["validation"] == {"0": 2, "1": 2}


def test_empty_section(tmp_path, items):
    report = check_dataset(write_list(tmp_path, training=[], validation=items))
    assert ("error", "training") in [(one.severity, one.item) for one in report.findings if one.fault == "K29"]
    report = check_dataset(write_list(tmp_path, training=items, test=[]))
    empty = [(one.severity, one.item) for one in report.findings if one.what == "is empty"]
    assert empty == [("warning", "validation"), ("warning", "test")]


def test_one_class_in_validation(tmp_path, items):
    report = check_dataset(write_list(tmp_path, training=items[:4], validation=items[4::2]), num_classes=2)
    (one,) = [one for one in report.findings if one.severity == "error"]
    assert (one.fault, one.item, one.what) == ("K29", "validation", "has one class only: 0")


def test_one_class_in_a_fold(tmp_path, items):
    for item in items:
        item["fold"] = item["label"]
    report = check_dataset(write_list(tmp_path, training=items), num_classes=2)
    assert faults(report) == ["K29", "K29"] and report.findings[0].item == "training, fold 0"


def test_class_that_training_lacks(tmp_path, items):
    items[6]["label"] = 2
    report = check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:]), num_classes=4)
    assert faults(report) == ["K26"]
    told = [one.what for one in report.findings if one.item == "training"]
    assert told == ["classes 2, 3 are absent"]


def test_finding_without_negatives(tmp_path, items):
    for number, item in enumerate(items):
        item["label"] = [number % 2, 1]
    report = check_dataset(write_list(tmp_path, training=items[:4], validation=items[4:]))
    told = {one.item: one.what for one in report.findings if one.fault == "K29"}
    assert report.ok and told["validation"] == "findings 1 are all 0 or all 1: AUC is not defined"


def test_label_map_without_foreground(tmp_path):
    for number in range(2):
        write(tmp_path / f"i{number}.nii", noise(seed=number))
        write(tmp_path / f"l{number}.nii", number * (noise() % 2))
    items = [{"image": f"i{n}.nii", "label": f"l{n}.nii"} for n in range(2)]
    report = check_dataset(write_list(tmp_path, training=items[1:], validation=items[:1]), num_classes=2)
    assert faults(report, tmp_path / "l0.nii", "warning") == ["K26"]
    assert [(one.item, one.fault) for one in report.findings if one.severity == "error"] == [("validation", "K29")]
