# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_kd.data import check_dataset
from tests.faults.make import KINDS, check_one, cut, faults, flip, noise, patch, write, write_file, write_list


def load(path: Path) -> np.ndarray:
    """Read a file without any of the code under test."""
    if path.name.endswith("nii.gz"):
        return np.asarray(nib.load(path).dataobj)
    return np.load(path)["arr_0"] if path.suffix == ".npz" else np.asarray(Image.open(path))


@pytest.mark.parametrize("kind", KINDS)
def test_sound_file_is_ok(tmp_path, kind):
    path = write_file(tmp_path, kind)
    assert faults(check_one(tmp_path, path), path) == []


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_file_is_reported(tmp_path, kind, share):
    path = write_file(tmp_path, kind)
    cut(path, share)
    (fault,) = faults(check_one(tmp_path, path), path)
    assert fault in ("K30", "K37", "K38")  # a header that promises more than is there is K38


@pytest.mark.parametrize("kind", ["nii.gz", "npz", "png"])  # those with a checksum
def test_no_flipped_bit_is_silent(tmp_path, kind):
    path, sound = write_file(tmp_path, kind), tmp_path / "sound"
    shutil.copy(path, sound)
    before, draw, silent = load(path), random.Random(0), 0
    for _ in range(60):
        shutil.copy(sound, path)
        flip(path, draw.randrange(8 * sound.stat().st_size))
        if not faults(check_one(tmp_path, path), path):  # then it must have been in a byte that means nothing
            silent += not np.array_equal(load(path), before)
    assert silent == 0


def test_every_flip_in_the_data_of_a_gzip_file_is_found(tmp_path):
    path, sound = write_file(tmp_path, "nii.gz"), tmp_path / "sound"
    shutil.copy(path, sound)
    for byte in range(20, sound.stat().st_size, 97):  # behind gzip's own header
        shutil.copy(sound, path)
        flip(path, 8 * byte + 3)
        assert faults(check_one(tmp_path, path), path), byte


def test_missing_file_and_other_kinds(tmp_path):
    report = check_one(tmp_path, tmp_path / "gone.nii.gz")
    assert faults(report, tmp_path / "gone.nii.gz") == ["K30"]
    (tmp_path / "image.mha").write_bytes(b"x")
    report = check_one(tmp_path, tmp_path / "image.mha")
    assert faults(report, tmp_path / "image.mha") == [] and faults(report, tmp_path / "image.mha", "warning") == [""]


def test_nothing_stops_at_the_first_fault(tmp_path):
    names = [write(tmp_path / f"{i}.nii.gz", noise(seed=i)) for i in range(4)]
    for path in names[:3]:
        cut(path, 0.5)
    write_list(tmp_path, training=[{"image": path.name, "label": i % 2} for i, path in enumerate(names)])
    report = check_dataset(tmp_path, workers=2)
    assert [one.item for one in report.findings if one.fault == "K30"] == [f"training[{i}]" for i in range(3)]


def test_pickle_is_not_opened(tmp_path):
    path = write_file(tmp_path, "npy")
    patch(path, 0, path.read_bytes().replace(b"<i2", b"|O "))
    assert faults(check_one(tmp_path, path), path) == ["K30"]
