# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.transforms import EnsureChannelFirst, LoadImage

from monai_kd.transforms import LoadDicomSeriesd, read_series
from monai_kd.utils.errors import DataError
from tests.faults.make import noise, write_dicom, write_series

TURNED = [0.8, 0.6, 0, 0, 0, -1]  # its normal is (-0.6, 0.8, 0)


def slices(folder: Path, order: list[int], orientation: list[float], tilt: float = 0.0) -> Path:
    """Write slices 2.5 mm apart along the normal; the number of each in the series is its place in `order`."""
    normal = np.cross(orientation[:3], orientation[3:])
    for index in order:
        place = np.array([7.0, -9.0, 30.0]) + 2.5 * index * normal + tilt * index * np.array(orientation[3:])
        tags = {"ImagePositionPatient": place.tolist(), "InstanceNumber": order.index(index) + 1, "Modality": "CT"}
        tags |= {"ImageOrientationPatient": orientation, "PixelSpacing": [0.5, 0.7], "RescaleIntercept": -1024}
        write_dicom(folder / f"{(index * 7) % 5}.dcm", noise((8, 6), index), **tags)
    return folder


@pytest.mark.parametrize(("orientation", "tilt"), [([1, 0, 0, 0, 1, 0], 0.0), ([1, 0, 0, 0, 1, 0], 0.3)])
def test_a_sound_series_is_as_in_monai(tmp_path, orientation, tilt):
    folder = slices(tmp_path, [0, 1, 2, 3, 4], orientation, tilt)
    array, affine, meta = read_series(folder)
    theirs = LoadImage(reader="PydicomReader", image_only=True)(folder)
    assert np.array_equal(array, theirs) and theirs.dtype == torch.float32 and array.dtype == np.float32
    assert np.allclose(affine, theirs.affine, rtol=0, atol=1e-9) and meta["geometry"] == "patient"
    assert meta.keys() >= {"affine", "original_affine", "spatial_shape", "space", "original_channel_dim"}
    assert meta["space"] == theirs.meta["space"] and meta["filename_or_obj"] == theirs.meta["filename_or_obj"]
    ours = LoadDicomSeriesd("image")({"image": folder})["image"]
    assert np.array_equal(ours, EnsureChannelFirst()(theirs)) and np.array_equal(ours.affine, affine)


def test_planes_are_ordered_by_place_not_by_number_or_name(tmp_path):
    array, affine, _ = read_series(slices(tmp_path, [3, 0, 4, 2, 1], TURNED))
    assert np.array_equal(array, np.stack([noise((8, 6), index) - 1024.0 for index in range(5)], axis=-1))
    assert np.allclose(affine[:3, :3], np.diag([-1, -1, 1]) @ np.array([[0.56, 0, -1.5], [0.42, 0, 2], [0, -0.5, 0]]))
    assert np.allclose(affine[:3, 3], [-7, 9, 30])


def test_two_series_in_a_folder(tmp_path):
    folder = write_series(tmp_path, [0, 1, 2])
    write_series(folder, [3], prefix="other", SeriesInstanceUID="1.2.4")
    (folder / "notes.txt").write_text("passed over")
    with pytest.raises(DataError, match="holds 2 series, of 3 and 1 files"):
        read_series(folder)
    assert read_series(folder, series="1.2.3")[0].shape == (8, 6, 3)
    assert read_series(folder, series="1.2.4")[0].shape == (8, 6)
    with pytest.raises(DataError, match="holds no series"):
        read_series(folder, series="1.2.5")


@pytest.mark.parametrize(
    ("heights", "reason"),
    [
        ([0, 5, 30], "5 to 25 mm apart"),
        ([0, 1, 2.03], "unevenly"),
        ([0, 1, 1, 2], "two of its slices are at one place"),
    ],
)
def test_gaps_and_doubles_are_refused(tmp_path, heights, reason):
    with pytest.raises(DataError, match=reason):
        read_series(write_series(tmp_path, heights))


def test_a_gap_of_less_than_a_hundredth_is_taken(tmp_path):
    assert read_series(write_series(tmp_path, [0, 1, 2.005]))[1][2, 2] == pytest.approx(1.0025)


@pytest.mark.parametrize(
    ("size", "tags"),
    [
        ((6, 6), {}),
        ((8, 6), {"PixelSpacing": [1, 2]}),
        ((8, 6), {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}),
        ((8, 6), {"ImagePositionPatient": [1, 0, 2]}),
        ((8, 6), {"PhotometricInterpretation": "MONOCHROME1"}),
    ],
)
def test_slices_that_differ_are_refused(tmp_path, size, tags):
    write_series(tmp_path, [0, 1])
    write_dicom(tmp_path / "2.dcm", noise(size), **{"ImagePositionPatient": [0, 0, 2], **tags})
    with pytest.raises(DataError, match=r"2.dcm: .*differs? |unevenly"):
        read_series(tmp_path)


def item(**tags: object) -> pydicom.Dataset:
    made = pydicom.Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


def multi_frame(path: Path, heights: list[float] | None, between: float = 2.0) -> np.ndarray:
    """Write an enhanced file of a frame for each height, each with an intercept of its own; return [8, 6, frames]."""
    stored = noise((8, 6, 3))
    write_dicom(path, noise((8, 6)), ImagePositionPatient=None, ImageOrientationPatient=None, NumberOfFrames=3)
    header = pydicom.dcmread(path)
    header.PixelData = stored.transpose(2, 1, 0).astype("<i2").tobytes()
    if heights is not None:
        measures = item(PixelSpacing=[0.5, 0.7], SpacingBetweenSlices=between)
        turn = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        header.SharedFunctionalGroupsSequence = [
            item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[turn])
        ]
        header.PerFrameFunctionalGroupsSequence = [
            item(
                PlanePositionSequence=[item(ImagePositionPatient=[0, 0, height])],
                PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=height)],
            )
            for height in heights
        ]
    header.save_as(path)
    return stored


def test_frames_are_ordered_by_place(tmp_path):
    stored = multi_frame(tmp_path / "a.dcm", [2.0, 4.0, 0.0])
    array, affine, meta = read_series(tmp_path / "a.dcm")
    assert np.array_equal(array, (2 * stored + [2, 4, 0])[:, :, [2, 0, 1]])
    assert np.allclose(affine.diagonal(), [-0.7, -0.5, 2, 1]) and meta["geometry"] == "patient"


def test_frames_without_a_place_keep_their_order(tmp_path):
    stored = multi_frame(tmp_path / "a.dcm", None)
    array, affine, meta = read_series(tmp_path / "a.dcm")
    assert np.array_equal(array, stored) and np.array_equal(affine, np.eye(4)) and meta["geometry"] == "none"


@pytest.mark.parametrize(
    ("heights", "reason"), [([0.0, 2.0], "tells of 2"), ([0.0, 2.0, 2.0], "one place"), ([0.0, 4.0, 8.0], "left out")]
)
def test_frames_that_are_no_volume_are_refused(tmp_path, heights, reason):
    multi_frame(tmp_path / "a.dcm", heights)
    with pytest.raises(DataError, match=reason):
        read_series(tmp_path / "a.dcm")


def test_a_real_study_is_as_in_monai_but_for_the_order(shared_data, tmp_path):
    archive = shared_data / "dicom_brain_mr" / "study3.zip"
    if not archive.is_file():
        pytest.skip(f"no dicom_brain_mr in {shared_data}")
    zipfile.ZipFile(archive).extractall(tmp_path)
    folders = [folder for folder in sorted((tmp_path / "Study3").iterdir()) if folder.is_dir()]
    for folder in folders:
        array, affine, _ = read_series(folder)
        theirs = LoadImage(reader="PydicomReader", image_only=True)(folder)
        if np.dot(affine[:3, 2], theirs.affine[:3, 2]) < 0:
            affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, array.shape[2] - 1], [0, 0, 0, 1]])
            array = array[:, :, ::-1]
        assert np.array_equal(array, theirs), folder.name
        assert np.allclose(affine, theirs.affine, atol=1e-3), folder.name
    assert len(folders) == 5
