# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What was downloaded becomes a data set whose lesions are in one section each."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from monai_kd.data import load_datalist
from monai_kd.utils import DataError
from tests.bundles.skin_lesion_classification.workflows import (
    CLASSES,
    picture,
    prepare_data,
    write_csv,
    write_ham10000,
)

SECTIONS = ("training", "validation", "test")


def content(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


@pytest.mark.parametrize("zipped", [False, True])
def test_ham10000_is_divided_by_lesion_and_class(tmp_path, zipped):
    source, out = write_ham10000(tmp_path / "source", lesions=20, zipped=zipped), tmp_path / "out"
    numbers = prepare_data().write_dataset(source, out)
    found = content(out)
    assert list(found["labels"].values()) == list(CLASSES)
    assert sum(numbers.values()) == 7 * 27 and numbers == {name: len(found[name]) for name in SECTIONS}
    lesions = [{item["patient"] for item in found[name]} for name in SECTIONS]
    assert sum(map(len, lesions)) == len(set.union(*lesions)) == 7 * 20
    for name, share in zip(SECTIONS, (0.7, 0.1, 0.2), strict=True):
        counts = Counter(item["label"] for item in load_datalist(out, name, num_classes=7, channels={"image": 3}))
        assert all(abs(counts[c] - share * 27) <= 2 for c in range(7))
    original = sorted((source / "images").iterdir())
    assert all((out / "images" / file.name).read_bytes() == file.read_bytes() for file in original)


def test_division_is_drawn_by_the_seed(tmp_path):
    source = write_ham10000(tmp_path / "source")
    script = prepare_data()
    outs = [tmp_path / str(i) for i in range(3)]
    for out, seed in zip(outs, ("0", "0", "1"), strict=True):
        script.main([str(source), str(out), "--seed", seed])
    first, again, other = ({item["case"] for item in content(out)["test"]} for out in outs)
    assert first == again != other


def test_a_split_of_the_table_is_kept(tmp_path):
    source = write_ham10000(tmp_path / "source")
    with (source / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = ("train", "val", "test")[int(row["lesion_id"][-1]) % 3]
    write_csv(source / "metadata.csv", rows)
    prepare_data().write_dataset(source, tmp_path / "out")
    found = content(tmp_path / "out")
    for i, name in enumerate(SECTIONS):
        assert {int(item["patient"][-1]) % 3 for item in found[name]} == {i}
    rows[0]["split"] = "val"  # and the other picture of this lesion stays
    write_csv(source / "metadata.csv", rows)
    with pytest.raises(DataError, match="HAM_00000: a lesion is in two sections"):
        prepare_data().write_dataset(source, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_isic_2019(tmp_path):
    source, names = tmp_path / "source", ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    (source / "ISIC_2019_Training_Input").mkdir(parents=True)
    truth, known = [], []
    for i in range(80):
        picture(source / "ISIC_2019_Training_Input" / f"ISIC_{i}.jpg", i)
        truth.append({"image": f"ISIC_{i}", **{name: float(n == i // 2 % 8) for n, name in enumerate(names)}})
        known.append({"image": f"ISIC_{i}", "age_approx": 50, "lesion_id": "" if i < 4 else f"MSK4_{i // 2}"})
    write_csv(source / "ISIC_2019_Training_GroundTruth.csv", truth)
    write_csv(source / "ISIC_2019_Training_Metadata.csv", known)
    prepare_data().write_dataset(source, tmp_path / "out", size=16)
    found = content(tmp_path / "out")
    assert list(found["labels"].values()) == ["ak", "bcc", "bkl", "df", "mel", "nv", "scc", "vasc"]
    items = {item["case"]: item for name in SECTIONS for item in found[name]}
    assert items["ISIC_0"]["label"] == 4 and items["ISIC_15"]["label"] == 6
    assert items["ISIC_0"]["patient"] == "ISIC_0" and items["ISIC_4"]["patient"] == items["ISIC_5"]["patient"]
    with Image.open(tmp_path / "out" / items["ISIC_7"]["image"]) as image:
        assert image.size == (16, 16) and image.mode == "RGB"


def test_what_is_missing_is_named(tmp_path, capsys):
    script = prepare_data()
    source = write_ham10000(tmp_path / "source")
    (source / "images" / "ISIC_0000003.jpg").unlink()
    with pytest.raises(SystemExit):
        script.main([str(source), str(tmp_path / "out")])
    assert "error: " in (said := capsys.readouterr().err) and "1 of 77 pictures are missing" in said
    assert "ISIC_0000003" in said and [path.name for path in tmp_path.iterdir()] == ["source"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no table of HAM10000 or of ISIC 2019"):
        script.read_rows(tmp_path / "empty")
    with pytest.raises(DataError, match="source: is not empty"):
        script.write_dataset(source, source)
    write_csv(source / "metadata.csv", [{"lesion_id": "a", "image_id": "b", "dx": "wart"}])
    with pytest.raises(DataError, match=r"row 1: no class 'wart'"):
        script.read_rows(source)


@pytest.mark.slow
def test_real_data(shared_data, tmp_path):
    numbers = prepare_data().write_dataset(shared_data / "derm_ham10000", tmp_path / "out")
    assert numbers == {"training": 7023, "validation": 1009, "test": 1983}
    items = load_datalist(tmp_path / "out", "training", num_classes=7, channels={"image": 3})
    assert min(Counter(item["label"] for item in items).values()) > 50
