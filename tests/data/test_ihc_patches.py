# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage

from monai_kd.data import load_datalist, write_ihc_patches
from monai_kd.utils.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(write_ihc_patches(tmp_path_factory.mktemp("data") / "ihc"))


def content(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def pixels(folder: Path, section: str) -> set[tuple[int, int]]:
    """Every pixel of the picture that some patch of the section covers."""
    corners = [tuple(map(int, item["case"].split("_")[1:])) for item in content(folder)[section]]
    return {(r + i, c + j) for r, c in corners for i in range(32) for j in range(32)}


def test_numbers_of_patches(folder):
    assert [len(content(folder)[s]) for s in ("training", "validation", "test")] == [19 * 31, 5 * 31, 5 * 31]


def test_no_pixel_is_in_two_sections(folder):
    train, validation, test = (pixels(folder, s) for s in ("training", "validation", "test"))
    assert not train & validation and not train & test and not validation & test
    assert len(train | validation | test) == 512 * 512


def test_patches_are_the_pictures_pixels(folder):
    picture = skimage.data.immunohistochemistry()
    for item in content(folder)["test"][::17]:
        row, column = map(int, item["case"].split("_")[1:])
        patch = skimage.io.imread(folder / item["privileged"])
        assert np.array_equal(patch, picture[row : row + 32, column : column + 32])
        assert skimage.io.imread(folder / item["image"]).shape == (32, 32)


def test_labels_match_a_plain_loop_over_pixels(folder):
    dab = skimage.color.rgb2hed(skimage.data.immunohistochemistry())[..., 2]
    threshold = skimage.filters.threshold_otsu(dab[:320])
    for item in content(folder)["training"][::50]:
        row, column = map(int, item["case"].split("_")[1:])
        stained = sum(dab[row + i, column + j] > threshold for i in range(32) for j in range(32)) / 32**2
        assert item["label"] == (0 if stained < 0.05 else 1 if stained < 0.5 else 2)


def test_every_grade_is_common_in_every_section(folder):
    for section in ("training", "validation", "test"):
        counts = Counter(item["label"] for item in content(folder)[section])
        assert sorted(counts) == [0, 1, 2] and min(counts.values()) > 30


def test_blocks_hold_the_centres_of_their_patches(folder):
    for item in content(folder)["test"]:
        row, column = map(int, item["case"].split("_")[1:])
        assert item["group"] == f"test_{(row + 16 - 416) // 64}_{(column + 16) // 64}"
    assert len({item["group"] for item in content(folder)["test"]}) == 16


def test_same_bytes_every_time_and_left_alone_when_there(folder, tmp_path):
    again = Path(write_ihc_patches(tmp_path / "again"))
    assert digest(again) == digest(folder)
    before = (again / "dataset.json").stat().st_mtime_ns
    assert write_ihc_patches(again) == str(again)
    assert (again / "dataset.json").stat().st_mtime_ns == before


def test_nothing_is_left_beside_it_when_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(skimage.io, "imsave", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_ihc_patches(tmp_path / "ihc")
    assert os.listdir(tmp_path) == []


def test_two_at_once_both_get_a_whole_folder(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: write_ihc_patches(tmp_path / "ihc", stride=32), range(2)))
    assert folders == [str(tmp_path / "ihc")] * 2
    assert os.listdir(tmp_path) == ["ihc"]
    assert len(load_datalist(folders[0], "test")) == 48


def test_what_is_there_is_never_overwritten(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="something else"):
        write_ihc_patches(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    with pytest.raises(DataError, match="stride 8"):
        write_ihc_patches(folder, stride=8)


def test_impossible_tiles_are_refused(tmp_path):
    with pytest.raises(DataError, match="tile"):
        write_ihc_patches(tmp_path / "ihc", tile=128)
