# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import skimage

from monai_kd.data import class_names, has_modality, load_datalist, read_dataset
from monai_kd.utils.errors import DataError


def picture(path: Path, shape: tuple[int, ...] = (8, 8)) -> str:
    path.parent.mkdir(exist_ok=True)
    skimage.io.imsave(path, np.zeros(shape, dtype=np.uint8), check_contrast=False)
    return path.name


def dataset(folder: Path, **sections: list) -> Path:
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


@pytest.fixture
def items(tmp_path) -> list[dict]:
    return [{"image": picture(tmp_path / f"{i}.png"), "label": i % 2} for i in range(6)]


def test_items_are_complete(tmp_path, items):
    items[0] |= {"patient": "p", "case": "c"}
    first, second = load_datalist(dataset(tmp_path, training=items[:2]), "training")
    assert first == {
        "image": str(tmp_path / "0.png"),
        "label": 0,
        "labeled": True,
        "case": "c",
        "group": "p",
        "index": 0,
    }
    assert second["case"] == second["group"] == "1" and second["index"] == 1


def test_second_modality(tmp_path, items):
    assert not has_modality(dataset(tmp_path, training=items), "privileged")
    for item in items:
        item["privileged"] = item["image"]
    assert has_modality(dataset(tmp_path, training=items), "privileged")
    assert load_datalist(tmp_path, keys=["privileged"])[3]["privileged"] == str(tmp_path / "3.png")
    del items[4]["privileged"]
    with pytest.raises(DataError, match=r"training\[4\]"):
        has_modality(dataset(tmp_path, training=items), "privileged")
    with pytest.raises(DataError, match=r"dataset.json, training\[4\]: 'privileged' is missing"):
        load_datalist(tmp_path, keys=["privileged"])


def test_a_fold_of_data_without_folds_is_refused(tmp_path, items):
    dataset(tmp_path, training=items[:4], validation=items[4:])
    assert len(load_datalist(tmp_path, "validation")) == 2
    with pytest.raises(DataError, match=r"dataset.json: there is no fold 3. leave --fold out"):
        load_datalist(tmp_path, "training", fold=3)


def test_folds_make_a_validation_list(tmp_path, items):
    for i, item in enumerate(items):
        item["fold"] = i // 2
    dataset(tmp_path, training=items)
    assert [i["case"] for i in load_datalist(tmp_path, "validation", fold=1)] == ["2", "3"]
    assert [i["case"] for i in load_datalist(tmp_path, "training", fold=1)] == ["0", "1", "4", "5"]
    with pytest.raises(DataError, match=r"fold 3.*folds: 0, 1, 2"):
        load_datalist(tmp_path, "training", fold=3)
    dataset(tmp_path, training=items, validation=[{"image": picture(tmp_path / "v.png"), "label": 0}])
    assert len(load_datalist(tmp_path, "training")) == 6 and len(load_datalist(tmp_path, "validation")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "gone.png"}, r"training\[2\]: 'image': there is no file .*gone.png"),
        ({"image": None}, r"training\[2\]: 'image' is missing"),
        ({"label": None}, r"training\[2\]: 'label' is missing"),
        ({"label": 3}, r"training\[2\]: label 3 .*num_classes 3"),
        ({"label": -1}, r"training\[2\]: label -1"),
        ({"label": 1.0}, r"training\[2\]: label must be an integer, got 1.0"),
        ({"label": True}, r"training\[2\]: label must be an integer, got True"),
        ({"labeled": "no"}, r"training\[2\]: labeled must be true or false"),
        ({"image": "./1.png"}, r"training\[2\]: image '1.png' is there already.*training\[1\]"),
        ({"case": "5"}, r"training: case '5' occurs 2 times"),
        ({"patient": "p"}, r"test\[0\]: patient 'p' is in two sections.*training"),
        ({"fold": 0}, r"training\[0\]: fold must be an integer, got None"),
    ],
)
def test_bad_items_are_named(tmp_path, items, change, message):
    items[2] |= change
    test = [{"image": picture(tmp_path / "t.png"), "label": 0, "patient": "p"}]
    dataset(tmp_path, training=items, test=test)
    with pytest.raises(DataError, match=message):
        load_datalist(tmp_path, "training", num_classes=3)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"dataset.json: there is no such file.*--dataset_dir"):
        load_datalist(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        load_datalist(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="mapping, got list"):
        load_datalist(tmp_path)
    with pytest.raises(DataError, match="training: must be a list"):
        read_dataset(dataset(tmp_path, training={"a": 1}))
    with pytest.raises(DataError, match=r"'validation' is missing.*fold"):
        load_datalist(dataset(tmp_path, training=[]), "validation")
    with pytest.raises(DataError, match="no section 'train'"):
        load_datalist(tmp_path, "train")


def test_bare_paths_are_images_without_labels(tmp_path, items):
    dataset(tmp_path, training=items, test=[picture(tmp_path / "t.png")])
    assert len(load_datalist(tmp_path, "training")) == 6
    with pytest.raises(DataError, match=r"test\[0\]: 'label' is missing"):
        load_datalist(tmp_path, "test")


def test_channels_are_checked(tmp_path):
    training = [{"image": picture(tmp_path / f"{i}.png", (8, 8, 3)), "label": i} for i in range(2)]
    dataset(tmp_path, training=training)
    assert len(load_datalist(tmp_path, channels={"image": 3})) == 2
    with pytest.raises(DataError, match=r"training\[0\], 0.png: 'image' has 3 channels \(RGB\), the network takes 1"):
        load_datalist(tmp_path, channels={"image": 1})


def test_bits_are_checked_where_channels_are(tmp_path):
    skimage.io.imsave(tmp_path / "a.png", np.zeros((8, 8), np.uint16), check_contrast=False)
    dataset(tmp_path, training=[{"image": "a.png", "label": 0}])
    assert len(load_datalist(tmp_path)) == 1
    with pytest.raises(DataError, match=r"training\[0\], a.png: 'image' has 16 bits a channel, expected 8"):
        load_datalist(tmp_path, channels={"image": 1})


@pytest.mark.parametrize("keys", [["image"], ["image", "label"]])
def test_names_of_other_classes_than_are_asked_for(tmp_path, items, keys):
    if "label" in keys:
        items = [{**item, "label": item["image"]} for item in items]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "a", "1": "b"}, "training": items}))
    assert len(load_datalist(tmp_path, keys=keys, num_classes=2)) == len(load_datalist(tmp_path, keys=keys)) == 6
    with pytest.raises(DataError, match=r"dataset.json, labels: names 2 classes, num_classes is 7.*--num_classes 2"):
        load_datalist(tmp_path, keys=keys, num_classes=7)


def test_unlabeled_items(tmp_path, items):
    del items[1]["label"]
    items[1]["labeled"] = items[2]["labeled"] = False
    found = load_datalist(dataset(tmp_path, training=items), labeled_fraction=1.0)
    assert [item["labeled"] for item in found] == [True, False, False, True, True, True]
    assert [item["label"] for item in found[:3]] == [0, -1, 0]
    dataset(tmp_path, training=items[2:], test=items[1:2])
    with pytest.raises(DataError, match=r"test\[0\]: without a label"):
        load_datalist(tmp_path, "test")


def test_fraction_is_stratified_seeded_and_leaves_validation_alone(tmp_path):
    sizes = {0: 10, 1: 40, 2: 3}
    labels = [c for c, n in sizes.items() for _ in range(n)]
    items = [{"image": picture(tmp_path / f"{i}.png"), "label": c} for i, c in enumerate(labels)]
    dataset(tmp_path, training=items[:-1], validation=items[-1:])
    drawn = [[i["labeled"] for i in load_datalist(tmp_path, labeled_fraction=0.1, seed=s)] for s in (0, 0, 1)]
    assert Counter(labels[i] for i, keep in enumerate(drawn[0]) if keep) == {0: 1, 1: 4, 2: 1}
    assert drawn[0] == drawn[1] != drawn[2]
    assert load_datalist(tmp_path, "validation", labeled_fraction=0.1)[0]["labeled"]


def test_class_names_come_from_labels(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "benign", "1": "malignant"}}))
    assert class_names(tmp_path, 3) == ["benign", "malignant", "2"]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": ["benign", "malignant"]}))
    assert class_names(tmp_path, 2) == ["benign", "malignant"]


def test_labels_may_be_files(tmp_path):
    folder = dataset(
        tmp_path,
        training=[
            {"image": picture(tmp_path / f"{i}.png"), "label": picture(tmp_path / f"l{i}.png")} for i in range(4)
        ],
    )
    found = load_datalist(folder, keys=["image", "label"], labeled_fraction=0.5)
    assert [item["label"] for item in found] == [str(tmp_path / f"l{i}.png") for i in range(4)]
    assert sum(item["labeled"] for item in found) == 2
    content = json.loads((folder / "dataset.json").read_text())
    del content["training"][0]["label"]
    with pytest.raises(DataError, match=r"training\[0\]: 'label' is missing"):
        load_datalist(dataset(tmp_path, **content), keys=["image", "label"])
    content["training"][0]["labeled"] = False
    assert "label" not in load_datalist(dataset(tmp_path, **content), keys=["image", "label"])[0]
    content["training"][1]["label"] = 1
    with pytest.raises(DataError, match=r"training\[1\]: 'label' is missing or not a path"):
        load_datalist(dataset(tmp_path, **content), keys=["image", "label"])


def test_a_volume_is_called_by_its_name_without_both_endings(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    assert load_datalist(dataset(tmp_path, training=[{"image": "a.nii.gz", "label": 0}]))[0]["case"] == "a"


def test_a_folder_is_the_image_of_a_series_and_no_label(tmp_path):
    (tmp_path / "series").mkdir()
    volume = {"image": "series", "label": picture(tmp_path / "mask.png")}
    (item,) = load_datalist(dataset(tmp_path, training=[volume]), keys=["label"])
    assert item["image"] == str(tmp_path / "series") and item["case"] == "series"
    with pytest.raises(DataError, match="'label': there is no file"):
        load_datalist(dataset(tmp_path, training=[{**volume, "label": "series"}]), keys=["label"])
