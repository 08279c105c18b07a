# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Compose, LoadImaged
from PIL import Image
from pydicom.data import get_testdata_file

from monai_kd.transforms import LoadDicomSeriesd, ReadImaged
from monai_kd.utils import DataError


def test_pictures_and_volumes_are_what_monai_reads(tmp_path):
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 255, (5, 7, 3), np.uint8)).save(tmp_path / "a.png")
    nib.save(nib.Nifti1Image(draw.random((4, 5, 6), np.float32), np.diag([1, 2, 3, 1])), tmp_path / "b.nii.gz")
    item = {"image": str(tmp_path / "a.png"), "label": str(tmp_path / "b.nii.gz"), "case": "a"}
    ours = ReadImaged(["image", "label"])(item)
    monai = LoadImaged(["image", "label"], image_only=True, ensure_channel_first=True)(item)
    for key in ("image", "label"):
        assert ours[key].equal(monai[key]) and ours[key].affine.equal(monai[key].affine)
    assert ours["case"] == "a" and isinstance(item["image"], str)


def test_dicom_is_read_by_our_reader_with_any_name(tmp_path):
    path = tmp_path / "picture"  # no suffix
    path.write_bytes(open(get_testdata_file("CT_small.dcm"), "rb").read())
    expected = LoadDicomSeriesd("image")({"image": str(path)})["image"]
    assert ReadImaged("image")({"image": path})["image"].equal(expected)
    folder = tmp_path / "series"
    folder.mkdir()
    path.rename(folder / "0.dcm")
    assert ReadImaged("image")({"image": folder})["image"].shape[:3] == expected.shape


@pytest.mark.parametrize("name", ["a.nii.gz", "a.png", "a.dcm", "gone.png"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    path = tmp_path / name
    if name != "gone.png":
        path.write_bytes(b"\x1f\x8b" + bytes(40))
    with pytest.raises(DataError, match=rf"case 'p7', image, .*{name}: cannot be read\. .*check-data"):
        ReadImaged("image")({"image": str(path), "case": "p7"})
    with pytest.raises(RuntimeError) as error:
        Compose([ReadImaged("image")])({"image": str(path), "case": "p7"})
    assert isinstance(error.value.__cause__, DataError)


def test_a_key_may_be_missing_if_it_may():
    assert ReadImaged("image", allow_missing_keys=True)({"case": "a"}) == {"case": "a"}
    with pytest.raises(KeyError):
        ReadImaged("image")({"case": "a"})
