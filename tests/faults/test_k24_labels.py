# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_kd.data import check_dataset
from tests.faults.make import check_one, faults, noise, patch, write, write_list


def label_of(*values: float, dtype: str = "float32") -> np.ndarray:
    label = np.zeros((12, 10, 8), dtype)
    label.flat[: 1 + len(values)] = [1, *values]
    return label


def check_label(folder, array, **options):
    image = write(folder / "image.nii.gz", noise())
    return check_one(folder, image, write(folder / "label.nii.gz", array), **options)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_good_labels(tmp_path, dtype):
    report = check_label(tmp_path, label_of(2, dtype=dtype), num_classes=3)
    assert faults(report) == [] and report.classes == {"training": {"0": 1, "1": 1, "2": 1}}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, "case x: found 5, expected 0 to 2"),
        (-1, "case x: found -1, expected 0 to 2"),
        (255, "case x: found 255, expected 0 to 2"),
        (1.5, "case x: found 1.5, expected whole numbers"),
        (np.nan, "case x: 1 voxels are NaN or infinite"),
        (np.inf, "case x: 1 voxels are NaN or infinite"),
    ],
)
def test_bad_value_is_named_with_its_case(tmp_path, value, told):
    report = check_label(tmp_path, label_of(value), num_classes=3)
    (one,) = [one for one in report.findings if one.severity == "error"]
    assert (one.fault, one.item, one.file, one.what) == ("K24", "training[0]", "label.nii.gz", told)


def test_number_of_classes_is_that_of_the_names(tmp_path):
    for name, array in (("image.nii", noise()), ("label.nii", label_of(2, dtype="int8"))):
        write(tmp_path / name, array)
    items = [{"image": "image.nii", "label": "label.nii"}]
    write_list(tmp_path, labels={"0": "background", "1": "organ"}, training=items)
    assert faults(check_dataset(tmp_path)) == ["K24"]
    assert faults(check_dataset(tmp_path, num_classes=3)) == []


def test_values_far_apart_are_counted_alike(tmp_path):
    report = check_label(tmp_path, label_of(100000, -128, dtype="int32"), num_classes=3)
    assert "found -128, 100000, expected 0 to 2" in report.table()
    many = check_label(tmp_path, np.arange(12 * 10 * 8 * 2, dtype="int32").reshape(24, 10, 8))
    assert any("an image, not a label" in one.what for one in many.findings)


@pytest.mark.parametrize(("slope", "told"), [(0.5, "found 0.5, expected whole"), (2, "found 4, expected 0 to 2")])
def test_label_is_read_as_its_header_scales_it(tmp_path, slope, told):
    image, label = write(tmp_path / "image.nii", noise()), write(tmp_path / "label.nii", label_of(2, dtype="int16"))
    patch(label, 112, np.float32([slope, 0]).tobytes())
    assert told in check_one(tmp_path, image, label, num_classes=3).table()


@pytest.mark.parametrize("label", [3, -1, 1.0, True, "1", None, [0, 1]])
def test_bad_class_of_an_item(tmp_path, label):
    image = write(tmp_path / "image.png", noise((30, 20)))
    found = faults(check_one(tmp_path, image, label, num_classes=3, multilabel=False))
    assert found == (["K30"] if label == "1" else ["K24"])


@pytest.mark.parametrize("label", [[0, 1], [0, 1, 2], [0, 1, True], 1])
def test_bad_findings_of_an_item(tmp_path, label):
    image = write(tmp_path / "image.png", noise((30, 20)))
    assert "K24" in faults(check_one(tmp_path, image, label, num_classes=3, multilabel=True))


def test_label_of_a_picture(tmp_path):
    image, label = write(tmp_path / "image.png", noise((30, 20))), write(tmp_path / "label.png", noise((30, 20)) % 2)
    assert faults(check_one(tmp_path, image, label, num_classes=2)) == []
    write(label, 255 * (noise((30, 20)) % 2))
    assert faults(check_one(tmp_path, image, label, num_classes=2), label) == ["K24"]
