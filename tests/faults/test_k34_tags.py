# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from monai_kd.transforms import read_series
from monai_kd.utils.errors import DataError
from tests.faults.make import noise, write_dicom, write_series


def write(path: Path, **tags: object) -> Path:
    """Write a slice, with text in tags that pydicom would not take."""
    write_dicom(path, noise((8, 6)))
    header = pydicom.dcmread(path)
    for name, value in tags.items():
        if value is None:
            del header[name]
        else:
            header[name] = pydicom.DataElement(name, "LO", value)
            header[name].VR = pydicom.datadict.dictionary_VR(name)
    with pydicom.config.disable_value_validation():
        header.save_as(path)
    return path


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("RescaleSlope", "0"),
        ("RescaleSlope", "nan"),
        ("RescaleSlope", "inf"),
        ("RescaleSlope", "abc"),
        ("RescaleSlope", "1e308"),
        ("RescaleIntercept", "-inf"),
        ("PixelSpacing", ["0", "1"]),
        ("PixelSpacing", ["1", "nan"]),
        ("PixelSpacing", None),
        ("ImageOrientationPatient", None),
        ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"]),
        ("ImagePositionPatient", ["0", "inf", "0"]),
    ],
)
def test_a_wrong_tag_is_named(tmp_path, tag, value):
    with pytest.raises(DataError, match=f"a.dcm: .*{tag}"):
        read_series(write(tmp_path / "a.dcm", **{tag: value}))


def test_absent_rescale_is_one_and_zero(tmp_path):
    path = write(tmp_path / "a.dcm", RescaleSlope=None, RescaleIntercept=None)
    assert np.array_equal(read_series(path)[0], noise((8, 6)))


def test_without_a_place_the_affine_is_the_spacing_and_says_so(tmp_path):
    place = {"ImageOrientationPatient": None, "ImagePositionPatient": None}
    path = write(tmp_path / "a.dcm", PixelSpacing=["0.5", "0.7"], **place)
    _, affine, meta = read_series(path)
    assert np.array_equal(affine, np.diag([0.7, 0.5, 1, 1])) and meta["geometry"] == "none"
    _, affine, meta = read_series(write(tmp_path / "b.dcm", PixelSpacing=None, **place))
    assert np.array_equal(affine, np.eye(4)) and meta["geometry"] == "none"


def test_a_slice_without_a_place_cannot_be_stacked(tmp_path):
    write_series(tmp_path / "s", [0, 1, 2])
    write(tmp_path / "s" / "1.dcm", ImageOrientationPatient=None, ImagePositionPatient=None)
    with pytest.raises(DataError, match=r"1.dcm: has no ImagePositionPatient"):
        read_series(tmp_path / "s")


def test_nothing_of_the_patient_is_kept(tmp_path):
    _, _, meta = read_series(write_dicom(tmp_path / "a.dcm", noise((8, 6)), StudyDate="20200101", Modality="MR"))
    assert "SECRET" not in str(meta) and "20200101" not in str(meta) and "1.2.3" not in str(meta)
    assert meta["Modality"] == "MR"


@pytest.mark.parametrize("tags", [{"Rows": 60000, "Columns": 60000}, {"Rows": 24}, {"Rows": 3}, {"NumberOfFrames": 9}])
def test_a_header_that_lies_is_refused_before_decoding(tmp_path, tags):
    with pytest.raises(DataError, match=r"a.dcm: declares \d+ "):
        read_series(write_dicom(tmp_path / "a.dcm", noise((8, 6)), **tags))


def test_more_than_max_voxels_is_refused(tmp_path):
    with pytest.raises(DataError, match="declares 96 values, more than 95"):
        read_series(write_series(tmp_path / "s", [0, 1]), max_voxels=95)
