# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Photographs become bags of tiles, and none that was trained on is tested on."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_kd.data import load_datalist
from monai_kd.utils import DataError
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import load_script

GRADES = [0, 2, 1, 3, 0, 2, 0, 2, 0, 2, 0, 2]  # the last two test


@pytest.fixture(scope="module")
def script():
    """The module `scripts/prepare_fundus.py`."""
    return load_script(CONFIGS.parent / "scripts" / "prepare_fundus.py")


def packed(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def disc(height: int, width: int, radius: float) -> np.ndarray:
    """A photograph: a grey disc in the middle of black."""
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2 < radius**2
    return np.repeat(np.where(inside, 120, 0)[..., None], 3, 2).astype(np.uint8)


def table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def sources(tmp_path) -> tuple[Path, Path]:
    grading, lesions = tmp_path / "grading", tmp_path / "lesions"
    grading.mkdir()
    lesions.mkdir()
    rows = [{"file": f"{i}.jpg", "split": "test" if i > 9 else "train", "dr_grade": g} for i, g in enumerate(GRADES)]
    table(grading / "labels.csv", rows)
    with zipfile.ZipFile(grading / "images.zip", "w") as archive:
        for row in rows:
            archive.writestr(f"images/{row['file']}", packed(disc(64, 64, 32), "JPEG"))
    overlap = [("train", "A", "train", 1), ("train", "B", "train", 0), ("test", "A", "test", 1)]
    names = ("lesion_split", "lesion_id", "grading_split", "same_image")
    table(lesions / "overlap_with_grading.csv", [dict(zip(names, row, strict=True)) for row in overlap])
    with zipfile.ZipFile(lesions / "images.zip", "w") as archive:
        mask = np.zeros((90, 140), np.uint8)
        mask[45 - 20 : 45 - 12, 70 + 8 : 70 + 16] = 4  # up to the right of the middle
        mask[45 + 8 : 45 + 20, 70 - 16 : 70 - 8] = 16  # the optic disc is no lesion
        for split, name in (("train", "A"), ("train", "B"), ("test", "A")):
            archive.writestr(f"{split}/{name}.jpg", packed(disc(90, 140, 40), "JPEG"))
            archive.writestr(f"{split}/{name}_mask.png", packed(mask))
    return grading, lesions


def made(script, sources, output) -> dict:
    return json.loads(script.main([*map(str, sources), str(output), "--tile", "16"]).read_text())


def test_bags_carry_the_photographs_grade(script, sources, tmp_path):
    content = made(script, sources, tmp_path / "out")
    labels = {item["patient"]: item["label"] for s in ("training", "validation", "test") for item in content[s]}
    assert labels == {str(i): int(grade >= 2) for i, grade in enumerate(GRADES)}
    sections = {s: {item["patient"] for item in content[s]} for s in ("training", "validation", "test")}
    assert sections["validation"] == {"8", "9"} and sections["test"] == {"10", "11"}  # every fifth of each class
    assert not sections["training"] & (sections["validation"] | sections["test"])
    # of 16 tiles the four in the corners are mostly dark
    assert set(Counter(item["patient"] for item in content["training"]).values()) == {12}
    assert all((tmp_path / "out" / item["image"]).is_file() for items in content.values() if isinstance(items, list)
               for item in items)  # fmt: skip


def test_instances_are_lesions_of_photographs_that_were_not_trained_on(script, sources, tmp_path):
    made(script, sources, tmp_path / "out")
    items = load_datalist(tmp_path / "out" / "instances", "test", num_classes=2, channels={"image": 3})
    assert {item["group"] for item in items} == {"train_B", "test_A"}
    positive = {item["case"] for item in items if item["label"]}
    # the disc of 80 pixels became 64: rows 16 to 22, columns 38 to 45
    assert positive == {"train_B_0016_0032", "test_A_0016_0032"}


def test_what_is_missing_is_named(script, sources, tmp_path):
    (sources[1] / "overlap_with_grading.csv").unlink()
    with pytest.raises(DataError, match="no such file") as told:
        made(script, sources, tmp_path / "out")
    assert "overlap_with_grading.csv" in str(told.value) and not (tmp_path / "out").exists()
    table(sources[0] / "labels.csv", [{"file": "gone.jpg", "split": "train", "dr_grade": 1}])
    with pytest.raises(DataError, match=r"gone\.jpg"):
        made(script, sources, tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="is there already"):
        made(script, sources, tmp_path / "out")
