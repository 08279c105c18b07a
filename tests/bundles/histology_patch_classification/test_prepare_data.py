# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What was downloaded becomes a data set of this bundle."""

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

from monai_kd.data import has_modality, load_datalist
from monai_kd.utils import DataError
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import load_script

COUNTS = {"training": 160, "validation": 48, "test": 48}  # of two fields of 8 columns and 10, 3, 3 rows


@pytest.fixture(scope="module")
def script():
    """The module `scripts/prepare_data.py`."""
    return load_script(CONFIGS.parent / "scripts" / "prepare_data.py")


def packed(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def panels(seed: int) -> dict[str, np.ndarray]:
    """A field of 64 x 32 places: routine and privileged noise, and a drawing whose left half is red."""
    noise = np.random.RandomState(seed).randint(0, 255, (2, 64, 32, 3)).astype(np.uint8)
    drawn = np.zeros((64, 32, 3), dtype=np.uint8)
    drawn[:, :16, 0], drawn[:, 16:, 2] = 255, 255
    return {"hematoxylin": noise[0], "ihc": noise[1], "seg": drawn}


def write_fields(folder: Path, fields: dict[str, dict[str, np.ndarray]]) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "panels.zip", "w") as archive:
        for field, pictures in fields.items():
            for panel, pixels in pictures.items():
                archive.writestr(f"{field}_{panel}.png", packed(pixels))
    return folder


def test_fields_become_graded_pairs(script, tmp_path):
    fields = {"train/a": panels(0), "train/b": panels(1)}
    script.main(["paired", str(write_fields(tmp_path / "source", fields)), str(tmp_path / "out"), "--tile", "4"])
    assert has_modality(tmp_path / "out", "privileged")
    for section, count in COUNTS.items():
        items = load_datalist(tmp_path / "out", section, ["image", "privileged"], 2, {"image": 3, "privileged": 3})
        assert len(items) == count and Counter(item["label"] for item in items) == {0: count // 2, 1: count // 2}
        for item in items:
            field, row, column = item["case"].rsplit("_", 2)
            window = np.s_[int(row) : int(row) + 4, int(column) : int(column) + 4]
            seen = fields[field.replace("_", "/")]
            assert np.array_equal(np.asarray(Image.open(item["image"])), seen["hematoxylin"][window])
            assert np.array_equal(np.asarray(Image.open(item["privileged"])), seen["ihc"][window])
            assert item["label"] == int(int(column) < 16)


def test_no_pixel_is_in_two_sections(script, tmp_path):
    script.main(
        ["paired", str(write_fields(tmp_path / "source", {"f": panels(0)})), str(tmp_path / "out"), "--tile", "4"]
    )
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    rows = {s: {int(item["case"].split("_")[1]) for item in content[s]} for s in COUNTS}
    assert max(rows["training"]) + 4 <= min(rows["validation"]) <= max(rows["validation"]) + 4 <= min(rows["test"])


def test_a_copy_and_a_field_without_a_drawing_are_left_out_and_told(script, tmp_path, capsys):
    photograph = panels(2) | {"seg": panels(3)["ihc"]}
    fields = {"test/c": photograph, "train/a": panels(0), "val/a": panels(0)}
    script.main(["paired", str(write_fields(tmp_path / "source", fields)), str(tmp_path / "out"), "--tile", "4"])
    told = capsys.readouterr().out
    assert "val/a: the same picture as train/a" in told and "test/c: its seg is no drawing" in told
    content = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert {item["case"][:7] for s in COUNTS for item in content[s]} == {"train_a"}


def write_oral(folder: Path, **changed: str) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive, (folder / "labels.csv").open("w") as file:
        table = csv.DictWriter(file, ["file", "label", "cls", "mag", "split"])
        table.writeheader()
        for i, split in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 2):
            row = {"file": f"{i}.png", "label": str(i % 2), "cls": ("Normal", "OSCC")[i % 2], "split": split}
            archive.writestr(f"images/{i}.png", packed(np.full((8, 8, 3), i, dtype=np.uint8)))
            table.writerow(row | (changed if i == 3 else {}))
    return folder


def test_pictures_keep_the_sections_of_their_table(script, tmp_path):
    path = script.main(["oral", str(write_oral(tmp_path / "source")), str(tmp_path / "out")])
    assert json.loads(path.read_text())["labels"] == {"0": "Normal", "1": "OSCC"}
    for section, names in {"training": "012345", "validation": "67", "test": "89"}.items():
        items = load_datalist(tmp_path / "out", section, num_classes=2, channels={"image": 3})
        assert [item["case"] for item in items] == list(names)
        assert [item["label"] for item in items] == [int(n) % 2 for n in names]
        assert all(np.asarray(Image.open(item["image"])).max() == int(item["case"]) for item in items)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"split": "holdout"}, "row 5: split 'holdout'"),
        ({"label": ""}, "row 5: label '' is no number"),
        ({"file": "x.png"}, "row 5: no picture 'x.png'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_nothing_is_written(script, tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        script.main(["oral", str(write_oral(tmp_path / "source", **changed)), str(tmp_path / "out")])
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_what_is_missing_is_named(script, tmp_path):
    without = {k: v for k, v in panels(0).items() if k != "ihc"}
    source = write_fields(tmp_path / "source", {"train/a": without})
    with pytest.raises(DataError, match="no panel 'train/a_ihc'"):
        script.main(["paired", str(source), str(tmp_path / "out")])
    with pytest.raises(DataError, match=r"labels\.csv"):
        script.main(["oral", str(source), str(tmp_path / "out")])
    with pytest.raises(DataError, match="0 zip files"):
        script.main(["paired", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(DataError, match="no patches are left"):
        script.main(["paired", str(write_fields(tmp_path / "b", {"f": panels(0)})), str(tmp_path / "out")])
    with pytest.raises(DataError, match="is there already"):
        script.main(["paired", str(source), str(source)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "folder", "counts"),
    [("paired", "paired_deepliif", [320, 96, 96]), ("oral", "histo_oral_oscc", [846, 120, 242])],
)
def test_the_real_ones(script, shared_data, tmp_path, kind, folder, counts):
    script.main([kind, str(shared_data / folder), str(tmp_path / "out")])
    sections = [load_datalist(tmp_path / "out", s, num_classes=2, channels={"image": 3}) for s in COUNTS]
    assert [len(items) for items in sections] == counts
    assert all({item["label"] for item in items} == {0, 1} for items in sections)
