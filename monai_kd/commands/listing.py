# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is in a user's folder or table, item by item, before anything is divided."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from monai_kd.data.side_vectors import not_finite
from monai_kd.utils.errors import DataError, UnknownNameError, suggest

__all__ = ["Entry", "read_folder", "read_table"]

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy", ".nii", ".nii.gz", ".nrrd", ".mha", ".dcm")
SECTIONS = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class Entry(NamedTuple):
    """An image and what is known of it."""

    image: Path
    label: str | Path | tuple[int, ...]
    """The name of a class, a file, or a 0 or 1 for each finding."""
    where: str
    """What an error calls it."""
    patient: str | None = None
    section: str | None = None
    """Where it was put already: a section, or a fold's number as text."""
    vectors: Mapping[str, list[float]] = MappingProxyType({})
    """Side vectors, by key."""
    files: Mapping[str, Path] = MappingProxyType({})
    """More files, by key."""


def read_folder(folder: Path, extension: str | None = None, group_pattern: str | None = None) -> list[Entry]:
    """Find the images of a folder and their labels, by where they lie.

    - `imagesTr/` and `labelsTr/` (Decathlon), or `images/` and `labels/`: files of equal names;
    - one sub-folder a class, in the folder itself or in its `images/`; perhaps below `train/`, `val/` and `test/`.

    Args:
        folder: the folder.
        extension: only files that end so; None for every ending of an image.
        group_pattern: regular expression that finds the patient in a file's name, its first group or all of it.

    Raises:
        DataError: nothing that could be an image, an image without a label file, a name that does not fit the pattern.
    """
    endings = ENDINGS if extension is None else ("." + extension.lstrip("."),)
    for images, labels in (("imagesTr", "labelsTr"), ("images", "labels")):
        if (folder / images).is_dir() and (folder / labels).is_dir():
            found = list(_pairs(folder / images, folder / labels, endings))
            break
    else:
        found = list(_classes(folder / "images" if (folder / "images").is_dir() else folder, endings))
    if not found:
        fix = f"give images/<class>/*, images/* and labels/*, or a CSV; endings: {', '.join(endings)}"
        raise DataError("no images by class, and none with label files", where=str(folder), fix=fix)
    if group_pattern is None:
        return found
    return [entry._replace(patient=_patient(entry.image, group_pattern)) for entry in found]


def read_table(
    file: Path,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str | None = None,
    split_column: str | None = None,
    vectors: Mapping[str, Sequence[str]] = MappingProxyType({}),
    files: Mapping[str, str] = MappingProxyType({}),
) -> list[Entry]:
    """Read a CSV: a row an image, paths relative to the file.

    Args:
        file: the CSV; its first line names the columns, and is divided by commas, semicolons or tabs.
        image_column: paths of images.
        label_column: names of classes, or paths where all of them are files. Several columns, with commas between, are
            findings that may occur together, a 0 or 1 in each.
        group_column: patients; None is the column `patient` if there is one.
        split_column: where each row belongs: train, val, test, or a fold's number.
        vectors: {key: columns} of side vectors, whose numbers stand in these columns.
        files: {key: column} of more paths, such as a second picture's.

    Raises:
        DataError: a cell that is empty or no number, a file that is missing, a section nobody knows; names the line.
        UnknownNameError: no such column; names the nearest.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            delimiter = _delimiter(lines.readline())
            lines.seek(0)
            reader = csv.DictReader(lines, delimiter=delimiter)
            columns = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("cannot be read as a CSV in UTF-8", where=str(file), why=str(error)) from error
    if group_column is None and "patient" in columns:
        group_column = "patient"
    findings = [name.strip() for name in label_column.split(",")] if "," in label_column else []
    numbers = [column for names in vectors.values() for column in names]
    named = (image_column, *(findings or [label_column]), group_column, split_column, *numbers, *files.values())
    for column in named:
        if column is not None and column not in columns:
            fix = suggest(column, columns, "columns", limit=30) + f", divided by {delimiter!r}"
            raise UnknownNameError(f"no column {column!r}", where=str(file), fix=fix)
    if not rows:
        raise DataError("holds no rows", where=str(file))
    masks = not findings and any(row[label_column] and (file.parent / row[label_column]).is_file() for _, row in rows)
    labels = findings or label_column
    return [
        _entry(file, number, row, image_column, labels, group_column, split_column, masks, vectors, files)
        for number, row in rows
    ]


def _entry(
    file: Path,
    number: int,
    row: Mapping[str, str | None],
    image_column: str,
    label_column: str | list[str],
    group_column: str | None,
    split_column: str | None,
    masks: bool,
    vectors: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
) -> Entry:
    where = f"{file}, line {number}"

    def cell(column: str) -> str:
        text = (row[column] or "").strip()
        if not text:
            raise DataError(f"column {column!r} is empty", where=where)
        return text

    def path(column: str) -> Path:
        found = file.parent / cell(column)
        if not found.is_file():
            fix = "paths are relative to the CSV's folder"
            raise DataError(f"column {column!r}: there is no file {found}", where=where, fix=fix)
        return found

    section = None
    if split_column is not None:
        text = cell(split_column)
        section = SECTIONS.get(text.lower(), text if text.isdecimal() else None)
        if section is None:
            fix = suggest(text.lower(), SECTIONS, "sections") + ", or the number of a fold"
            raise DataError(f"column {split_column!r}: no section {text!r}", where=where, fix=fix)

    def finding(column: str) -> int:
        if (text := cell(column)) not in ("0", "1"):
            raise DataError(f"column {column!r} is {text!r}, not 0 or 1", where=where)
        return int(text)

    label: str | Path | tuple[int, ...]
    if isinstance(label_column, list):
        label = tuple(map(finding, label_column))
    else:
        label = path(label_column) if masks else cell(label_column)
    numbers = {key: [_measured(row, column, where) for column in columns] for key, columns in vectors.items()}
    more = {key: path(column) for key, column in files.items()}
    return Entry(path(image_column), label, where, cell(group_column) if group_column else None, section, numbers, more)


def _delimiter(header: str) -> str:
    """What divides the first line into the most columns."""
    return max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _measured(row: Mapping[str, str | None], column: str, where: str) -> float:
    try:
        value = float(row[column] or "")
    except ValueError:
        value = float("nan")
    if not_finite([value]):
        raise DataError(f"column {column!r} is no finite number", where=where)
    return value


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.name.lower().endswith(tuple(endings)) and not file.name.startswith(".") and file.is_file()
    )


def _stem(file: Path) -> str:
    return next((file.name[: -len(e)] for e in (".nii.gz",) if file.name.lower().endswith(e)), file.stem)


def _pairs(images: Path, labels: Path, endings: Sequence[str]) -> Iterator[Entry]:
    masks = {(file.parent.relative_to(labels), _stem(file)): file for file in _files(labels, ENDINGS)}
    for image in _files(images, endings):
        label = masks.get((image.parent.relative_to(images), _stem(image)))
        if label is None:
            raise DataError("no label file of that name", where=str(image), fix=f"put it into {labels}, or move it out")
        yield Entry(image, label, str(image))


def _classes(folder: Path, endings: Sequence[str]) -> Iterator[Entry]:
    below = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if below and all(f.name.lower() in SECTIONS and any(g.is_dir() for g in f.iterdir()) for f in below):
        for section in below:
            for entry in _classes(section, endings):
                yield entry._replace(section=SECTIONS[section.name.lower()])
        return
    for name in below:
        for image in _files(name, endings):
            yield Entry(image, name.name, str(image))


def _patient(image: Path, pattern: str) -> str:
    try:
        found = re.search(pattern, image.name)
    except re.error as error:
        raise DataError(f"{pattern!r} is no regular expression", where="--group-pattern", why=str(error)) from error
    if found is None:
        raise DataError(f"its name does not fit --group-pattern {pattern!r}", where=str(image))
    return found.group(1) if found.re.groups else found.group()
