# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_kd.data import check_dataset
from tests.faults.make import check_one, faults, noise, write, write_dicom, write_list


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["nii", "nii.gz", "npy", "npz", "tif"])
def test_voxel_that_is_not_finite(tmp_path, kind, value):
    if kind == "tif":
        array = noise((30, 20)).astype(np.float32)
        array[3, 4] = value
        path = tmp_path / "image.tif"
        Image.fromarray(array).save(path)
    else:
        array = noise().astype(np.float32)
        array[3, 4, 5] = value
        path = write(tmp_path / f"image.{kind}", array)
    report = check_one(tmp_path, path)
    assert faults(report, path) == ["K39"] and "1 voxels are NaN" in report.table()


def test_number_that_float32_has_not(tmp_path):
    path = write(tmp_path / "image.npy", np.array([[1.0, 1e300], [2.0, 3.0]]))
    assert faults(check_one(tmp_path, path), path) == ["K39"]
    path = write_dicom(tmp_path / "a.dcm", noise((8, 6)) + 1, RescaleSlope="1e308")
    assert faults(check_one(tmp_path, path), path) == ["K39"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_number_of_a_vector_that_is_not_finite(tmp_path, value):
    path = write(tmp_path / "image.png", noise((9, 7)))
    write_list(tmp_path, training=[{"image": path.name, "label": 0, "case": "x", "genes": [0.5, value]}])
    told = [one.what for one in check_dataset(tmp_path).findings if one.fault == "K39"]
    assert told == ["case x: genes is nan, infinite or beyond float32 at place 1"]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.complex64, np.uint8, np.int32])
def test_good_numbers_of_every_type(tmp_path, dtype):
    path = write(tmp_path / "image.npy", noise().astype(dtype))
    assert faults(check_one(tmp_path, path), path) == []


def test_constant_image_is_a_warning(tmp_path):
    path = write(tmp_path / "image.nii.gz", np.full((4, 4, 4), 7, np.int16))
    report = check_one(tmp_path, path)
    assert faults(report, path) == [] and faults(report, path, "warning") == ["K39"]
    assert "all voxels are 7" in report.table()
