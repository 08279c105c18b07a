# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.data import check_dataset
from tests.faults.make import check_one, faults, noise, write, write_list, write_series

ONE = np.eye(4)
TURNED = np.diag([-1.0, -1.0, 1.0, 1.0])
THICK = np.diag([1.0, 1.0, 3.0, 1.0])
MOVED = np.array([[1, 0, 0, 4.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def compare(folder, affine, shape=(12, 10, 8)):
    image = write(folder / "image.nii.gz", noise(), ONE)
    return check_one(folder, image, write(folder / "label.nii.gz", noise(shape) % 3, affine))


@pytest.mark.parametrize(
    ("affine", "shape", "told"),
    [
        (ONE, (12, 10, 9), "label and image differ: shape 12 x 10 x 9, not 12 x 10 x 8"),
        (TURNED, (12, 10, 8), "label and image differ: orientation LPS, not RAS"),
        (THICK, (12, 10, 8), "label and image differ: spacing 1 x 1 x 3 mm, not 1 x 1 x 1 mm"),
        (MOVED, (12, 10, 8), "label and image differ: a place up to 4 mm away"),
    ],
)
def test_label_must_lie_on_its_image(tmp_path, affine, shape, told):
    report = compare(tmp_path, affine, shape)
    assert [(one.fault, one.what) for one in report.findings if one.severity == "error"] == [("K32", told)]


def test_rounded_affine_is_the_same(tmp_path):
    assert faults(compare(tmp_path, ONE + 1e-4 * np.eye(4)[::-1])) == []


def test_modalities_of_a_case_must_be_alike(tmp_path):
    for name, shape in (("a.nii", (12, 10, 8)), ("b.nii", (12, 10, 7))):
        write(tmp_path / name, noise(shape))
    write_list(tmp_path, training=[{"image": "a.nii", "privileged": "b.nii", "label": 0}])
    (one,) = [one for one in check_dataset(tmp_path).findings if one.severity == "error" and one.fault == "K32"]
    assert one.file == "b.nii" and "privileged" in one.what


def test_mixed_set_is_a_warning_with_counts(tmp_path):
    for number, affine in enumerate([ONE, ONE, TURNED, THICK]):
        write(tmp_path / f"{number}.nii", noise(seed=number), affine)
    write(tmp_path / "4.nii", noise(seed=4).astype(np.float32))
    write_list(tmp_path, training=[{"image": f"{n}.nii", "label": n % 2} for n in range(5)])
    report = check_dataset(tmp_path)
    told = [one.what for one in report.findings if one.fault == "K32"]
    assert told[0] == "image: mixed orientations: 4 x RAS, 1 x LPS"
    assert told[1] == "image: mixed spacings: 4 x 1 x 1 x 1 mm, 1 x 1 x 1 x 3 mm"
    assert told[2] == "image: mixed types: 4 x int16, 1 x float32"
    assert faults(report) == [] and report.spacings["image"] == [[1, 1, 1], [1, 1, 3]]


def test_channels_of_volumes_pictures_and_arrays(tmp_path):
    for image, label in (("image.nii", "label.nii"), ("image.npy", "label.npy")):
        write(tmp_path / image, noise((12, 10, 8, 2)))
        path = write(tmp_path / label, noise((12, 10, 8)) % 2)
        assert faults(check_one(tmp_path, tmp_path / image, path)) == []


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_spacing_and_affine_of_nifti_are_numbers(tmp_path, value):
    path = write(tmp_path / "image.nii", noise())
    content = bytearray(path.read_bytes())
    content[80:84] = np.float32(value).tobytes()  # pixdim[1]
    path.write_bytes(content)
    assert faults(check_one(tmp_path, path), path) == ["K34"]


def test_label_volume_on_a_series(tmp_path):
    write_series(tmp_path / "series", [0, 2, 4, 6])
    label = write(tmp_path / "label.nii.gz", noise((8, 6, 4)) % 2, np.diag([-1.0, -1.0, 2.0, 1.0]))
    assert faults(check_one(tmp_path, tmp_path / "series", label)) == []
    write(label, noise((8, 6, 4)) % 2, np.diag([1.0, 1.0, 2.0, 1.0]))
    assert faults(check_one(tmp_path, tmp_path / "series", label)) == ["K32"]


def test_side_vectors_are_of_one_length(tmp_path):
    names = [write(tmp_path / f"{n}.png", noise((9, 7), n)).name for n in range(4)]
    items = [{"image": name, "label": n % 2, "genes": [0.5] * (2 + n % 3)} for n, name in enumerate(names)]
    told = [one.what for one in check_dataset(write_list(tmp_path, training=items)).findings if one.fault == "K32"]
    assert told == ["case 1.png: genes has 3 numbers, expected 2", "case 2.png: genes has 4 numbers, expected 2"]
