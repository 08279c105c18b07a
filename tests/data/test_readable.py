# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv

import pytest
from monai.transforms import Compose, LoadImaged

from monai_kd.data import readable_items
from monai_kd.transforms import LoadDicomSeriesd
from monai_kd.utils.errors import ConfigError, DataError
from tests.faults.make import cut, noise, write, write_dicom


def make(folder, load: str, bad: int = 1, count: int = 4) -> list[dict]:
    """Items of two files each; the label of the first `bad` is cut short."""
    items = []
    for index in range(count):
        item = {"case": f"case{index}"}
        for key in ("image", "label"):
            path = folder / f"{key}{index}.{load}"
            item[key] = str(write_dicom(path, noise((8, 6))) if load == "dcm" else write(path, noise()))
        if index < bad:
            cut(folder / f"label{index}.{load}", 0.9)
        items.append(item)
    return items


@pytest.mark.parametrize(
    ("load", "transform"),
    [("dcm", LoadDicomSeriesd(["image", "label"])), ("npy", Compose([LoadImaged(["image", "label"])]))],
)
def test_what_cannot_be_read_is_left_out_and_listed(tmp_path, load, transform):
    items = make(tmp_path, load)
    kept = readable_items(items, transform, "skip", 0.25, tmp_path / "skipped.csv")
    assert kept == items[1:] and isinstance(kept[0]["image"], str)
    rows = list(csv.DictReader((tmp_path / "skipped.csv").open()))
    assert [row["case"] for row in rows] == ["case0"] and rows[0]["reason"]
    assert load != "dcm" or (rows[0]["key"] == "label" and "label0.dcm: declares 96 bytes" in rows[0]["reason"])


def test_more_than_the_cap_is_an_error_and_the_list_is_there(tmp_path):
    items = make(tmp_path, "dcm", bad=2)
    with pytest.raises(DataError, match=r"2 of 4 items cannot be read.*label0.dcm.*skipped.csv"):
        readable_items(items, LoadDicomSeriesd(["image", "label"]), "skip", 0.25, tmp_path / "skipped.csv")
    assert len(list(csv.DictReader((tmp_path / "skipped.csv").open()))) == 2


def test_by_default_the_first_stops(tmp_path):
    items = make(tmp_path, "dcm")
    with pytest.raises(DataError, match=r"case 'case0': cannot be read.*label0.dcm"):
        readable_items(items, LoadDicomSeriesd(["image", "label"]))
    assert readable_items(items[1:], LoadDicomSeriesd(["image", "label"])) == items[1:]
    assert readable_items([], LoadDicomSeriesd("image")) == []


def test_on_error_is_fail_or_skip():
    with pytest.raises(ConfigError, match="fail or skip"):
        readable_items([], LoadDicomSeriesd("image"), "ignore")
