# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor, set_track_meta

from monai_kd.transforms import LoadDicomSeriesd, read_series
from monai_kd.utils.errors import DataError
from tests.faults.make import write_dicom

X_RAY = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleType": "US"}
WHITE = {"PhotometricInterpretation": "MONOCHROME1"}


def pixels(low: int = 0, high: int = 4096) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (8, 6))


def test_a_picture_is_turned_round_over_the_stored_bits(tmp_path):
    array, _, meta = read_series(write_dicom(tmp_path / "a.dcm", pixels(), **X_RAY, **WHITE))
    assert np.array_equal(array, 4095 - pixels()) and array.dtype == np.float32
    assert meta["photometric"] == "MONOCHROME2" and meta["inverted"] is True


def test_a_signed_picture_and_rescale_come_after(tmp_path):
    tags = {**X_RAY, **WHITE, "PixelRepresentation": 1, "RescaleSlope": 2, "RescaleIntercept": 10}
    array, _, _ = read_series(write_dicom(tmp_path / "a.dcm", pixels(-2048, 2048), **tags))
    assert np.array_equal(array, 2 * (-1 - pixels(-2048, 2048)) + 10)


@pytest.mark.parametrize("tags", [{"Modality": "CT"}, {"Modality": "PT"}, {"Modality": "CR", "RescaleType": "OD"}])
def test_values_with_a_unit_stay(tmp_path, tags):
    tags = {**WHITE, **tags, "RescaleIntercept": -1024}
    array, _, meta = read_series(write_dicom(tmp_path / "a.dcm", pixels(-9, 9), **tags))
    assert np.array_equal(array, pixels(-9, 9) - 1024)
    assert meta["photometric"] == "MONOCHROME1" and meta["inverted"] is False


def test_monochrome2_stays(tmp_path):
    assert np.array_equal(read_series(write_dicom(tmp_path / "a.dcm", pixels(), **X_RAY))[0], pixels())


def test_bits_beyond_the_stored_ones_do_not_count(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", pixels() | 0x4000, **X_RAY, **WHITE)
    assert np.array_equal(read_series(path)[0], 4095 - pixels())


def test_a_modality_lut_is_applied_but_not_turned_round(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", pixels(0, 4), **X_RAY, RescaleSlope=None, RescaleIntercept=None)
    header = pydicom.dcmread(path)
    lut = pydicom.Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType, lut.LUTData = [4, 0, 16], "US", [7, 100, 1000, 9]
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    header.ModalityLUTSequence = [lut]
    header.save_as(path)
    assert np.array_equal(read_series(path)[0], np.array([7, 100, 1000, 9])[pixels(0, 4)])
    header.PhotometricInterpretation = "MONOCHROME1"
    header.save_as(path)
    with pytest.raises(DataError, match="MONOCHROME1 with a Modality LUT"):
        read_series(path)


BLOCKED = ("itk", "gdcm", "SimpleITK")


def test_itk_is_not_asked(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", pixels(), **X_RAY, **WHITE)
    for name in BLOCKED:
        monkeypatch.setitem(sys.modules, name, None)
    assert np.array_equal(LoadDicomSeriesd("image")({"image": path})["image"][0], 4095 - pixels())


@pytest.mark.slow
def test_the_same_without_itk(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", pixels(), **X_RAY, **WHITE)
    code = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
from monai_kd.transforms import LoadDicomSeriesd
image = LoadDicomSeriesd("image")({{"image": {str(path)!r}}})["image"]
sys.stdout.buffer.write(image.numpy().tobytes() + image.affine.numpy().tobytes())
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    image = LoadDicomSeriesd("image")({"image": path})["image"]
    assert told == image.numpy().tobytes() + image.affine.numpy().tobytes()
    assert np.array_equal(image[0], 4095 - pixels())


def test_a_plain_tensor_where_meta_is_not_tracked_and_channels_as_asked(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", pixels(), **X_RAY)
    image = LoadDicomSeriesd("image")({"image": path, "case": "x"})["image"]
    assert isinstance(image, MetaTensor) and image.shape == (1, 8, 6) and "SECRET" not in str(image.meta)
    assert LoadDicomSeriesd("image", ensure_channel_first=False)({"image": path})["image"].shape == (8, 6)
    assert LoadDicomSeriesd(["image", "label"], allow_missing_keys=True)({"image": path}).keys() == {"image"}
    try:
        set_track_meta(False)
        assert type(LoadDicomSeriesd("image")({"image": path})["image"]) is torch.Tensor
    finally:
        set_track_meta(True)
