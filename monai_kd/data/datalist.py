# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.data.class_labels import check_num_classes, class_labels
from monai_kd.data.labeled import draw_labeled
from monai_kd.data.picture_headers import check_header
from monai_kd.data.side_vectors import check_declared_vectors, looks_like_vector, read_vectors
from monai_kd.utils import read_json
from monai_kd.utils.errors import DataError

__all__ = ["class_names", "has_modality", "load_datalist", "read_dataset"]

SECTIONS = ("training", "validation", "test")
FILE = "dataset.json"


def read_dataset(dataset_dir: str | os.PathLike, hint: str = "") -> dict[str, Any]:
    """Read the `dataset.json` of a folder: `name`, `labels` and such, and lists of items (a bare path is an image).

    Args:
        dataset_dir: the folder.
        hint: what to do if there is none.

    Raises:
        DataError: there is none, it is not JSON, or a list in it is not one of mappings.
    """
    path = Path(dataset_dir) / FILE
    if not path.is_file():
        fix = hint or "--dataset_dir names a folder with a dataset.json"
        raise DataError("there is no such file", where=str(path), fix=fix)
    content = read_json(path)
    lists = {}
    for section in SECTIONS:
        items = content.get(section, [])
        if not isinstance(items, list) or not all(isinstance(item, (Mapping, str)) for item in items):
            raise DataError(
                "must be a list of mappings", where=f"{path}, {section}", fix='{"image": ..., "label": ...}'
            )
        lists[section] = [{"image": item} if isinstance(item, str) else item for item in items]
    return {**content, **lists}


def class_names(dataset_dir: str | os.PathLike, num_classes: int) -> list[str]:
    """The names of the classes: `labels` of the `dataset.json`, by number; a class without one is called by its number.

    Args:
        dataset_dir: folder of the `dataset.json`.
        num_classes: how many.
    """
    names = class_labels(read_dataset(dataset_dir))
    return [names.get(str(i), str(i)) for i in range(num_classes)]


def has_modality(dataset_dir: str | os.PathLike, key: str) -> bool:
    """Whether every training item has `key`, as a second modality that the teacher may read.

    Args:
        dataset_dir: folder of the `dataset.json`.
        key: such as `privileged`.

    Raises:
        DataError: some items have it and some have not.
    """
    have = [key in item for item in read_dataset(dataset_dir)["training"]]
    if any(have) and not all(have):
        where = f"{Path(dataset_dir) / FILE}, training[{have.index(False)}]"
        raise DataError(f"{key!r} is missing, though other items have it", where=where, fix="give it to all or to none")
    return any(have)


def load_datalist(
    dataset_dir: str | os.PathLike,
    section: str = "training",
    keys: Sequence[str] = ("image",),
    num_classes: int | None = None,
    channels: Mapping[str, int] | None = None,
    fold: int = 0,
    labeled_fraction: float = 1.0,
    seed: int = 0,
    multilabel: bool = False,
    vectors: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Read and check one section of a Decathlon-style `dataset.json`: a list for MONAI's datasets.

    The file holds lists `training`, `validation`, `test` of items: `image` and other files by key, relative to the
    folder; `label`, an integer, a list of zeros and ones (`multilabel`) or, for segmentation, a file; perhaps
    `patient`, `case` (a name), `group` (what a bootstrap resamples), `fold`, and `labeled: false` for an item that
    needs no label; perhaps side vectors, lists of numbers, such as genes or attributes of the patient. Where there is
    no list `validation`, it is the training items of fold `fold`.

    Each item returned has the files of `keys` with their full paths, the `vectors` as float32 [length], and

    - `label`: the class, -1 if it has none; or its findings, float32 [num_classes], all -1 if it has none; or the file
      of the label map, absent if it has none; `labeled`: whether training may look at it;
    - `index`: its position in this list; `case`: its name, by default the image's path without the ending;
    - `group`: by default the patient, else the case.

    Args:
        dataset_dir: folder of the `dataset.json`.
        section: training, validation or test.
        keys: which files; each item must have them. With `label` among them labels are files.
        num_classes: labels are 0 to num_classes - 1, of label files with the background; None does not check. Where
            `labels` of the file name every class from 0, there must be as many. Label files are not opened here.
        channels: {key: number} that pictures (png, jpg, tif, bmp) among `keys` must have, with 8 bits each; values of a
            DICOM file must be 0 to 255. None does not check.
        fold: which fold validates.
        labeled_fraction: of the training labels, the part that may be looked at; see :func:`draw_labeled`.
        seed: of that draw.
        multilabel: a label is a list of `num_classes` zeros and ones, findings that may occur together.
        vectors: {key: length} of side vectors, which each item must have; none of them is among `keys`.

    Raises:
        DataError: no such section, another number of classes, a file, a label or a vector that is missing or cannot be
            used, an image, a case or a patient in two places; names the file and the item.

    Example::

        >>> import tempfile
        >>> from monai_kd.data import load_datalist, write_ihc_patches
        >>> folder = write_ihc_patches(tempfile.mkdtemp(), stride=32)
        >>> items = load_datalist(folder, "training", num_classes=3, labeled_fraction=0.1)
        >>> len(items), sum(item["labeled"] for item in items), items[5]["index"]
        (160, 16, 5)
    """
    path = Path(dataset_dir) / FILE
    content = read_dataset(dataset_dir)
    sections = _sections(content, path, fold)
    if section not in SECTIONS:
        raise DataError(f"no section {section!r}", where=str(path), fix=f"sections: {', '.join(SECTIONS)}")
    if not sections[section]:
        fix = "add it, or a 'fold' to every training item" if section == "validation" else "add it"
        raise DataError(f"the list {section!r} is missing or empty", where=str(path), fix=fix)
    _check_disjoint(sections, path)
    check_num_classes(content, num_classes, str(path))
    if multilabel and num_classes is None:
        raise DataError("multilabel needs num_classes", where="load_datalist")
    check_declared_vectors(vectors := vectors or {}, keys)
    read = _findings if multilabel else _class
    items = [_item(raw, where, Path(dataset_dir), keys, num_classes, read) for raw, where in sections[section]]
    for number, ((raw, where), item) in enumerate(zip(sections[section], items, strict=True)):
        item["index"] = number
        for key, count in (channels or {}).items():
            if key in item:
                check_header(item[key], count, key, f"{where}, {raw[key]}")
        item.update(read_vectors(raw, vectors, f"{where}, case {item['case']!r}"))
        if section != "training" and not item["labeled"]:
            raise DataError("without a label it cannot be scored", where=where, fix="move it to the training list")
    for case, count in Counter(item["case"] for item in items).items():
        if count > 1:
            raise DataError(
                f"case {case!r} occurs {count} times", where=f"{path}, {section}", fix="name each case once"
            )
    if section == "training":
        patients = [str(raw.get("patient", i)) for i, (raw, _) in enumerate(sections[section])]
        hidden = np.full(num_classes or 0, -1.0) if multilabel else -1
        labels: list[Any] = [(0 if "label" in keys else item["label"]) if item["labeled"] else hidden for item in items]
        for item, drawn in zip(items, draw_labeled(labels, patients, labeled_fraction, seed), strict=True):
            item["labeled"] = bool(drawn)
    return items


def _sections(content: Mapping[str, Any], path: Path, fold: int) -> dict[str, list[tuple[Mapping, str]]]:
    """The raw items of each section, with what an error calls them."""
    found = {s: [(raw, f"{path}, {s}[{i}]") for i, raw in enumerate(content[s])] for s in SECTIONS}
    if not found["validation"] and any("fold" in raw for raw, _ in found["training"]):
        for raw, where in found["training"]:
            if type(raw.get("fold")) is not int:
                raise DataError(f"fold must be an integer, got {raw.get('fold')!r}", where=where)
        folds = sorted({raw["fold"] for raw, _ in found["training"]})
        if fold not in folds or len(folds) < 2:
            raise DataError(
                f"fold {fold} cannot be held out", where=str(path), fix=f"folds: {', '.join(map(str, folds))}"
            )
        found["validation"] = [pair for pair in found["training"] if pair[0]["fold"] == fold]
        found["training"] = [pair for pair in found["training"] if pair[0]["fold"] != fold]
    elif fold:
        raise DataError(
            f"there is no fold {fold}", where=str(path), fix="leave --fold out: the data are divided already"
        )
    return found


def _check_disjoint(sections: Mapping[str, list[tuple[Mapping, str]]], path: Path) -> None:
    """Refuse an image that occurs twice, and a patient who is in two sections."""
    images: dict[str, str] = {}
    patients: dict[str, str] = {}
    for section, items in sections.items():
        for raw, where in items:
            if isinstance(raw.get("image"), str):
                image = os.path.normpath(raw["image"])
                if image in images:
                    raise DataError(f"image {image!r} is there already", where=where, why=f"it is {images[image]}")
                images[image] = where
            if "patient" in raw and patients.setdefault(str(raw["patient"]), section) != section:
                patient = str(raw["patient"])
                why = f"it is also in {patients[patient]}: what is learnt there would be tested here"
                raise DataError(f"patient {patient!r} is in two sections", where=where, why=why)


def _item(
    raw: Mapping, where: str, folder: Path, keys: Sequence[str], num_classes: int | None, read: Callable
) -> dict[str, Any]:
    item: dict[str, Any] = {}
    labeled, label = raw.get("labeled", True), raw.get("label")
    if type(labeled) is not bool:
        raise DataError(f"labeled must be true or false, got {labeled!r}", where=where)
    if label is None and labeled:
        raise DataError("'label' is missing", where=where, fix="give it, or labeled: false")
    for key in dict.fromkeys(("image", *keys)):
        if key == "label" and label is None:
            continue
        if key not in ("image", "label") and looks_like_vector(raw.get(key)):
            fix = f"a key is a file in all items, or in all a vector whose length is declared: --vectors::{key} NUMBER"
            raise DataError(f"{key!r} is a list of numbers, not a path", where=where, fix=fix)
        if not isinstance(raw.get(key), str):
            raise DataError(f"{key!r} is missing or not a path", where=where, fix=f"keys: {', '.join(raw) or 'none'}")
        item[key] = os.path.normpath(folder / raw[key])
        if not (os.path.isfile(item[key]) or (key != "label" and os.path.isdir(item[key]))):  # a DICOM series' folder
            raise DataError(f"{key!r}: there is no file {item[key]}", where=where)
    if "label" not in keys:
        item["label"] = read(label, where, num_classes)
    case = str(raw.get("case", os.path.splitext(raw["image"].removesuffix(".gz"))[0]))
    group = str(raw.get("group", raw.get("patient", case)))
    return {**item, "labeled": labeled, "case": case, "group": group}


def _class(label: Any, where: str, num_classes: int | None) -> int:
    if label is not None and type(label) is not int:
        raise DataError(f"label must be an integer, got {label!r}", where=where)
    if label is not None and (label < 0 or (num_classes is not None and label >= num_classes)):
        fix = "" if label < 0 else "give --num_classes"
        upper = "" if num_classes is None else f" and below num_classes {num_classes}"
        raise DataError(f"label {label} must be at least 0{upper}", where=where, fix=fix)
    return -1 if label is None else label


def _findings(label: Any, where: str, num_classes: int) -> np.ndarray:
    if label is None:
        return np.full(num_classes, -1, np.float32)
    if not isinstance(label, list) or any(type(value) is not int or value not in (0, 1) for value in label):
        raise DataError(f"label must be a list of zeros and ones, got {label!r}", where=where)
    if len(label) != num_classes:
        what = f"label has {len(label)} findings, the bundle {num_classes}"
        raise DataError(what, where=where, fix="give --num_classes")
    return np.array(label, np.float32)
