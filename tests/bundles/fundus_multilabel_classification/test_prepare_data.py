# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from monai_kd.data import load_datalist
from monai_kd.utils import DataError
from tests.bundles.fundus_multilabel_classification.workflows import (
    findings,
    prepare_data,
    rows_of,
    write_csv,
    write_odir,
)


@pytest.mark.parametrize("zipped", [False, True])
def test_patients_are_divided_and_their_eyes_joined(tmp_path, zipped):
    numbers = prepare_data().write_dataset(write_odir(tmp_path / "source", zipped=zipped), tmp_path / "data", size=16)
    assert sum(numbers.values()) == 60 and numbers["training"] == pytest.approx(42, abs=3)
    content = json.loads((tmp_path / "data" / "dataset.json").read_text())
    items = [item for section in numbers for item in content[section]]
    assert {int(item["patient"]) for item in items} == set(range(60))
    assert all(item["label"] == findings(int(item["patient"])) for item in items)
    for item in items:
        pixels = np.asarray(Image.open(tmp_path / "data" / item["image"]))
        assert pixels.shape == (16, 32, 3)
        left, right = pixels[4:12, 4:12].mean(), pixels[4:12, 20:28].mean()
        assert left < 10 if int(item["patient"]) % 5 == 0 else 0.4 * right < left < 0.65 * right


def test_every_section_has_its_share_of_every_finding(data):
    sections = [load_datalist(data, s, num_classes=8, multilabel=True) for s in ("training", "validation", "test")]
    counts = np.array([sum(item["label"] for item in items) for items in sections])
    total = counts.sum(0)
    assert (abs(counts - np.outer([0.7, 0.1, 0.2], total)) <= np.maximum(2, 0.15 * total)).all()


def test_sections_of_the_table_go_first(tmp_path):
    source, rows = write_odir(tmp_path / "source", patients=9), rows_of(9)
    names = ["train", "val", "test"]
    write_csv(source / "labels.csv", [{**row, "split": names[row["ID"] % 3]} for row in rows])
    assert prepare_data().write_dataset(source, tmp_path / "data") == {"training": 3, "validation": 3, "test": 3}
    content = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert [item["patient"] for item in content["validation"]] == ["1", "4", "7"]
    assert content["split"] == "the table's own, by patient"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filename": "7_top.jpg"}, "row 2: '7_top.jpg' is of no side"),
        ({"D": "2"}, "row 2: findings are .*2.*, not zeros and ones"),
        ({"ID": 0}, "row 2: patient '0' has label"),
        ({"split": "holdout"}, "row 2: no section 'holdout'. sections: train"),
        ({"filename": "9_left.jpg"}, "1 of 9 photographs are missing, the first is 9_left.jpg"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path, change, message):
    source, rows = write_odir(tmp_path / "source", patients=5), rows_of(5)
    rows = [{"split": "", **row} for row in rows]
    rows[1] |= change
    write_csv(source / "labels.csv", rows)
    with pytest.raises(DataError, match=message):
        prepare_data().write_dataset(source, tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_two_photographs_of_one_eye_a_broken_one_and_a_full_folder_are_refused(tmp_path):
    source, rows = write_odir(tmp_path / "source", patients=9), rows_of(9)
    write_csv(source / "labels.csv", [*rows, {**rows[3], "filename": "more/" + rows[3]["filename"]}])
    with pytest.raises(DataError, match="two photographs of the"):
        prepare_data().write_dataset(source, tmp_path / "data")
    write_csv(source / "labels.csv", rows)
    (source / "images" / "3_left.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"3_left\.jpg.*cannot be read"):
        prepare_data().write_dataset(source, tmp_path / "data")
    with pytest.raises(DataError, match="source: is not empty"):
        prepare_data().write_dataset(source, source)


def test_a_source_without_the_table_ends_with_an_error(tmp_path, capsys):
    (tmp_path / "source").mkdir()
    write_csv(tmp_path / "source" / "other.csv", [{"ID": 1, "filename": "a"}])
    with pytest.raises(SystemExit) as told:
        prepare_data().main([str(tmp_path / "source"), str(tmp_path / "data")])
    assert told.value.code == 1 and "no table of ODIR-5K" in capsys.readouterr().err
    write_odir(tmp_path / "good", patients=9)
    prepare_data().main([str(tmp_path / "good"), str(tmp_path / "data"), "--size", "8"])
    assert "training" in capsys.readouterr().out
