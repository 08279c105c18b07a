# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging

import pytest

from monai_kd.data import check_dataset
from monai_kd.transforms import read_series
from monai_kd.utils import DataError
from tests.faults.make import PATIENT, check_one, cut, faults, noise, write_dicom, write_list, write_series


def test_sound_series(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1.5, 3, 4.5])
    report = check_one(tmp_path, folder)
    assert faults(report, folder) == [] and report.shapes["image"] == [[8, 6, 4], [8, 6, 4]]
    assert report.spacings["image"][0] == [1, 1, 1.5]


def test_two_series_in_a_folder(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1, 2])
    write_series(folder, [3], prefix="other", SeriesInstanceUID="1.2.4")
    report = check_one(tmp_path, folder)
    assert faults(report, folder) == ["K35"] and "2 series, of 3 and 1 files" in report.table()


@pytest.mark.parametrize("heights", [[0, 5, 30], [0, 1, 2.1, 3.1], [0, 1, 1, 2]])
def test_slices_at_unequal_distances(tmp_path, heights):
    """What the reader refuses is an error of the check, too."""
    folder = write_series(tmp_path / "s", heights)
    assert faults(check_one(tmp_path, folder), folder) == ["K35"]
    with pytest.raises(DataError):
        read_series(folder)


def test_a_slice_that_is_moved_aside_or_has_no_place(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1, 2])
    write_dicom(folder / "3.dcm", noise((8, 6)), ImagePositionPatient=[0.5, 0, 3])
    assert faults(check_one(tmp_path, folder), folder) == ["K35"]
    write_dicom(folder / "3.dcm", noise((8, 6)), ImagePositionPatient=None)
    assert faults(check_one(tmp_path, folder), folder) == ["K34"]
    with pytest.raises(DataError):
        read_series(folder)


def test_slices_of_two_shapes_or_directions(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1])
    write_dicom(folder / "2.dcm", noise((8, 7)), ImagePositionPatient=[0, 0, 2])
    assert faults(check_one(tmp_path, folder), folder) == ["K35"]
    write_dicom(
        folder / "2.dcm", noise((8, 6)), ImagePositionPatient=[0, 0, 2], ImageOrientationPatient=[0, 1, 0, 1, 0, 0]
    )
    assert faults(check_one(tmp_path, folder), folder) == ["K35"]


def test_damaged_slice_is_named(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1])
    cut(folder / "1.dcm", 0.9)
    report = check_one(tmp_path, folder)
    assert faults(report, folder) == ["K30"] and "1.dcm: ends after" in report.table()


def test_folder_without_dicom(tmp_path):
    (tmp_path / "s").mkdir()
    assert faults(check_one(tmp_path, tmp_path / "s"), tmp_path / "s") == ["K30"]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("RescaleSlope", "nan"),
        ("RescaleSlope", "inf"),
        ("RescaleSlope", "0"),
        ("RescaleIntercept", "nan"),
        ("PixelSpacing", ["0", "1"]),
        ("PixelSpacing", ["nan", "1"]),
        ("PixelSpacing", ["1"]),
        ("ImageOrientationPatient", ["0", "0", "0", "0", "1", "0"]),
    ],
)
def test_tag_that_is_no_number(tmp_path, tag, value):
    path = write_dicom(tmp_path / "a.dcm", noise((8, 6)), **{tag: value})
    report = check_one(tmp_path, path)
    assert faults(report, path) == ["K34"] and tag in report.table()


def test_nothing_of_the_patient_is_told(tmp_path, capfd, caplog, recwarn):
    write_dicom(tmp_path / "a.dcm", noise((8, 6)), PatientName=PATIENT * 9, Rows=60)
    write_dicom(tmp_path / "b.dcm", noise((8, 6)), SeriesInstanceUID=PATIENT, PixelSpacing=None)
    write_series(tmp_path / "s", [0, 1])
    cut(tmp_path / "s" / "1.dcm", 0.3)
    write_list(tmp_path, training=[{"image": name, "label": 0} for name in ("a.dcm", "b.dcm", "s")])
    for writing in (caplog, recwarn):
        writing.clear()
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    report = check_dataset(tmp_path)
    out = capfd.readouterr()
    warned = " ".join(str(one.message) for one in recwarn)
    assert "SECRET" not in report.table() + str(report.to_json()) + out.out + out.err + caplog.text + warned
