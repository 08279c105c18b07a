# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K31: a flipped bit in weights or data is found by a checksum, where the format has none of its own."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_kd.data import check_dataset
from monai_kd.networks import load_weights
from monai_kd.utils import CheckpointError, read_state, write_state
from monai_kd.utils.checksums import file_sha256, sum_beside, write_sums
from tests.faults.make import check_one, cut, faults, flip, noise, write, write_file, write_list, write_series


@pytest.fixture(params=["model.safetensors", "model.pt"])
def weights(request, tmp_path) -> Path:
    """A file of weights with its checksum beside it."""
    path = tmp_path / request.param
    write_state(path, nn.Linear(6, 4).state_dict())
    write_sums(sum_beside(path), {path.name: file_sha256(path)})
    return path


def test_no_flipped_bit_in_weights_is_loaded(weights):
    sound, network = weights.read_bytes(), nn.Linear(6, 4)
    before = [p.clone() for p in network.parameters()]
    for number in range(60):
        weights.write_bytes(sound)
        flip(weights, 8 * (number * len(sound) // 60) + number % 8)  # 60 bytes, from the first to the last
        with pytest.raises(CheckpointError, match=rf"{weights.name}: is not what its checksum says.*sha256sum"):
            load_weights(network, weights)
    assert all(map(torch.equal, before, network.parameters()))
    weights.write_bytes(sound)
    read_state(weights)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_cut_weights_are_not_loaded(weights, share):
    cut(weights, share)
    with pytest.raises(CheckpointError, match="is not what its checksum says"):
        read_state(weights)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 64, b"model.safetensors"])
def test_a_damaged_checksum_vouches_for_nothing(weights, content):
    sum_beside(weights).write_bytes(content)
    with pytest.raises(CheckpointError, match="is not what its checksum says"):
        read_state(weights)


def test_safetensors_without_a_checksum_are_not_loaded(tmp_path):
    path = tmp_path / "model.safetensors"
    write_state(path, nn.Linear(6, 4).state_dict())
    sum_beside(path).unlink()
    fix = "sha256sum model.safetensors > model.safetensors.sha256"
    with pytest.raises(CheckpointError, match=rf"model.safetensors: has no checksum beside it.*{fix}"):
        load_weights(nn.Linear(6, 4), path)


@pytest.mark.parametrize("kind", ["nii", "dcm", "png", "bmp", "npy", "nii.gz"])
def test_every_flipped_bit_in_data_is_found(tmp_path, kind):
    path, draw, given = write_file(tmp_path, kind), random.Random(0), {"checksums": tmp_path / "sums"}
    other = write(tmp_path / f"other.{kind}", noise((12, 10, 8) if kind[0] == "n" else (30, 20), 1))
    write_list(tmp_path, training=[{"image": path.name, "label": 0}, {"image": other.name, "label": 1}])
    shutil.copy(path, tmp_path / "sound")
    assert check_dataset(tmp_path, **given).ok and (tmp_path / "sums").is_file()
    for _ in range(30):
        shutil.copy(tmp_path / "sound", path)
        flip(path, draw.randrange(8 * path.stat().st_size))
        assert faults(check_dataset(tmp_path, **given), path)[-1] == "K31"
    shutil.copy(tmp_path / "sound", path)
    assert check_dataset(tmp_path, **given).ok


@pytest.mark.parametrize("kind", ["nii", "dcm"])
def test_raw_files_need_it(tmp_path, kind):
    path = write_file(tmp_path, kind)
    flip(path, 8 * (path.stat().st_size - 1))
    assert faults(check_one(tmp_path, path), path) == []


@pytest.fixture
def folder(tmp_path) -> Path:
    """A picture, a series of three slices, and their checksums."""
    write_series(tmp_path / "series", [0, 1, 2])
    write(tmp_path / "a.png", noise((9, 7)))
    items = [{"image": "a.png", "label": 0}, {"image": "./series", "label": 1}]
    write_list(tmp_path, training=items)
    check_dataset(tmp_path, keys=["image"], checksums=tmp_path / "sums")
    return tmp_path


def found(folder: Path) -> list[tuple[str, str, str]]:
    report = check_dataset(folder, keys=["image"], checksums=folder / "sums")
    return [(one.file, one.item, one.what.split(",")[0]) for one in report.findings if one.fault == "K31"]


def test_a_slice_that_changed_is_gone_or_is_new(folder):
    assert (folder / "sums").is_file() and found(folder) == []
    flip(folder / "series" / "1.dcm", 8 * (folder / "series" / "1.dcm").stat().st_size - 1)
    shutil.copy(folder / "series" / "0.dcm", folder / "series" / "3.dcm")
    (folder / "series" / "2.dcm").unlink()
    assert found(folder) == [
        ("series/1.dcm", "training[1]", "is not what its checksum says"),
        ("series/3.dcm", "training[1]", f"has no checksum in {folder / 'sums'}"),
        ("series/2.dcm", "", "is gone from the data set"),
    ]


def test_a_file_that_is_gone_and_a_label_that_changed(folder):
    (folder / "a.png").unlink()
    write_list(folder, training=[{"image": "a.png", "label": 1}, {"image": "./series", "label": 1}])
    assert found(folder) == [
        ("dataset.json", "", "is not what its checksum says"),
        ("a.png", "training[0]", "is gone from the data set"),
    ]
