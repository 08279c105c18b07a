# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""An archive of MedMNIST becomes a data set, and no picture is in two of its sections."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_kd.data import load_datalist
from monai_kd.utils import DataError
from tests.bundles.chest_xray_classification.workflows import draw, prepare_data, write_archive

SECTIONS = {"train": "training", "val": "validation", "test": "test"}


def content(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def read(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_sections_pictures_and_labels_are_kept(tmp_path):
    numbers = prepare_data().write_dataset(write_archive(tmp_path / "a.npz"), tmp_path / "out")
    assert numbers == {"training": 40, "validation": 12, "test": 16}
    found, arrays = content(tmp_path / "out"), draw()
    assert found["labels"] == {"0": "normal", "1": "pneumonia"} and "; 0 pictures" in found["split"]
    for part, name in SECTIONS.items():
        items = load_datalist(tmp_path / "out", name, num_classes=2, channels={"image": 1})
        assert [item["label"] for item in items] == arrays[f"{part}_labels"].ravel().tolist()
        assert np.array_equal([read(item["image"]) for item in items], arrays[f"{part}_images"])


def test_a_picture_is_in_one_section_only(tmp_path):
    arrays = draw()
    train, val, test = (arrays[f"{part}_images"] for part in SECTIONS)
    train[3], train[7], val[0] = test[5], val[2], test[1]
    train[10] = train[11]  # twice in one section: both stay
    numbers = prepare_data().write_dataset(write_archive(tmp_path / "a.npz", **arrays), tmp_path / "out")
    assert numbers == {"training": 38, "validation": 11, "test": 16}
    found = content(tmp_path / "out")
    assert "; 3 pictures that another section has" in found["split"]
    cases = {item["case"] for name in SECTIONS.values() for item in found[name]}
    assert not cases & {"training_00003", "training_00007", "validation_00000"}
    pictures = [{read(tmp_path / "out" / item["image"]).tobytes() for item in found[n]} for n in SECTIONS.values()]
    assert sum(map(len, pictures)) - len(set.union(*pictures)) == 0
    assert len(list((tmp_path / "out" / "images").iterdir())) == len(cases) == 65


def test_other_classes_and_colours_are_taken(tmp_path):
    arrays = {f"{part}_images": np.stack([draw()[f"{part}_images"]] * 3, -1) for part in SECTIONS}
    arrays["train_labels"] = np.arange(40) % 3
    prepare_data().write_dataset(write_archive(tmp_path / "a.npz", **arrays), tmp_path / "out")
    assert content(tmp_path / "out")["labels"] == {"0": "0", "1": "1", "2": "2"}
    assert load_datalist(tmp_path / "out", "training", num_classes=3, channels={"image": 3})[5]["label"] == 2


def test_the_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    script, file, out = prepare_data(), write_archive(tmp_path / "a.npz"), tmp_path / "out"

    def full(*args):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", full)
        with pytest.raises(OSError, match="no space left"):
            script.write_dataset(file, out)
    assert list(tmp_path.iterdir()) == [file]
    out.mkdir()  # empty: it is taken
    script.main([str(file), str(out)])
    with pytest.raises(DataError, match="out: is not empty"):
        script.write_dataset(file, out)
    assert len(content(out)["training"]) == 40 and sorted(tmp_path.iterdir()) == [file, out]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"val_labels": None}, "has no array val_labels"),
        ({"train_labels": np.zeros((40, 14), np.uint8)}, ", train: labels are uint8 [40, 14]"),
        ({"val_labels": np.zeros((12, 1))}, ", val: labels are float64 [12, 1]"),
        ({"test_images": np.zeros((16, 28, 28), np.float32)}, ", test: images are float32 [16, 28, 28]"),
        ({"train_images": np.zeros((40, 8, 8, 8), np.uint8)}, ", train: images are uint8 [40, 8, 8, 8]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_array_that_cannot_be_used_is_named(tmp_path, changed, said, capsys):
    script, file = prepare_data(), write_archive(tmp_path / "a.npz", **changed)
    with pytest.raises(DataError, match=re.escape(said)):
        script.write_dataset(file, tmp_path / "out")
    with pytest.raises(SystemExit) as left:
        script.main([str(file), str(tmp_path / "out")])
    assert left.value.code == 1 and f"error: {file}" in (told := capsys.readouterr().err) and said in told
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["text", "empty", "broken", "one array", "missing"])
def test_a_file_that_is_no_archive_is_named(tmp_path, kind):
    file = tmp_path / "a.npz"
    if kind == "one array":
        with file.open("wb") as opened:
            np.save(opened, np.zeros(3))
    elif kind != "missing":
        whole = write_archive(file).read_bytes()
        file.write_bytes({"text": b"no archive", "empty": b"", "broken": whole[:5000]}[kind])
    with pytest.raises(DataError, match=r"a\.npz: cannot be read"):
        prepare_data().write_dataset(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
