# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from monai_kd.data import slide_tiles
from monai_kd.transforms import LoadTiled
from monai_kd.utils import DataError
from tests.slides import write_slide

pytest.importorskip("openslide", reason="the extra wsi is not installed")


def test_tiles_show_the_tissue_and_do_not_overlap(tmp_path):
    path = write_slide(tmp_path / "a.tif", np.s_[128:320, 64:256])
    slide = {"image": str(path), "label": 1, "case": "a", "group": "patient", "labeled": True}
    tiles = slide_tiles([slide], patch_size=64, mask_level=2)
    cells = {tile["location"] for tile in tiles}
    assert len(cells) == len(tiles)
    assert cells == {(row, column) for row in range(128, 320, 64) for column in range(64, 256, 64)}
    assert [tile["index"] for tile in tiles] == list(range(len(tiles)))
    assert all(tile["label"] == 1 and tile["group"] == "patient" and tile["labeled"] for tile in tiles)
    assert len({tile["case"] for tile in tiles}) == len(tiles)


@pytest.mark.parametrize(
    ("tissue", "size"), [(np.s_[128:340, 64:276], 64), (np.s_[176:340, 80:290], 64), (np.s_[400:512, 300:384], 48)]
)
def test_every_tile_holds_tissue_and_none_is_left_out(tmp_path, tissue, size):
    there, covered = np.zeros((2, 512, 384), bool)
    there[tissue] = True
    path = write_slide(tmp_path / "a.tif", tissue)
    for tile in slide_tiles([{"image": str(path)}], size, mask_level=2):
        row, column = tile["location"]
        place = np.s_[row : row + size, column : column + size]
        assert there[place].any() and there[place].shape == (size, size)
        covered[place] = True
    ends = np.s_[: 512 // size * size, : 384 // size * size]  # a tile that reaches over them is none
    assert covered[ends][there[ends]].all()


@pytest.mark.parametrize("level", [0, 1])
def test_a_tile_is_what_the_slide_shows_there(tmp_path, level):
    path = write_slide(tmp_path / "a.tif", np.s_[128:320, 64:256])
    tiles = slide_tiles([{"image": str(path), "label": 0}], patch_size=(32, 16), patch_level=level, mask_level=2)
    with tifffile.TiffFile(path) as file:
        pixels = file.pages[level].asarray()
    for tile in tiles[:: max(1, len(tiles) // 5)]:
        row, column = (c // 4**level for c in tile["location"])
        shown = LoadTiled("image")(tile)["image"]
        assert shown.shape == (3, 32, 16)
        assert np.array_equal(np.moveaxis(shown.numpy(), 0, 2), pixels[row : row + 32, column : column + 16])


def test_slides_follow_each_other(tmp_path):
    slides = [
        {"image": str(write_slide(tmp_path / f"{name}.tif", np.s_[128:256, 128:256], seed=seed)), "label": seed}
        for seed, name in enumerate("ab")
    ]
    tiles = slide_tiles(slides, patch_size=128, mask_level=2)
    assert [tile["index"] for tile in tiles] == list(range(len(tiles)))
    assert {(tile["group"], tile["label"]) for tile in tiles} == {(s["image"], s["label"]) for s in slides}


def test_what_cannot_be_cut_is_named(tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_text("no slide")
    with pytest.raises(DataError, match="cannot be cut into tiles") as told:
        slide_tiles([{"image": str(broken)}], 64)
    assert str(broken) in str(told.value)
    path = write_slide(tmp_path / "a.tif", np.s_[128:320, 64:256])
    with pytest.raises(DataError, match=r"a\.tif"):
        slide_tiles([{"image": str(path)}], 64, mask_level=7)
