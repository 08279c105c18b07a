# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_kd.commands.division import divide, told
from monai_kd.commands.listing import Entry, read_folder, read_table
from monai_kd.commands.tally import table, warnings
from monai_kd.data.datalist import SECTIONS
from monai_kd.data.save_datalist import save_datalist
from monai_kd.data.side_vectors import RESERVED
from monai_kd.utils.errors import ConfigError, DataError

__all__ = ["write_datalist"]

FILE = "dataset.json"
KEYS = {
    "file": "--file privileged=clinical: a key of its own, and the column of its paths",
    "vector": "--vector attributes=age,sex: a key of its own, and columns with commas between",
}


def write_datalist(
    source: str | os.PathLike,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    *,
    val: float | None = None,
    test: float | None = None,
    folds: int | None = None,
    seed: int = 0,
    extension: str | None = None,
    group_pattern: str | None = None,
    file: Sequence[str] | None = None,
    vector: Sequence[str] | None = None,
    **columns: str | None,
) -> str:
    """Write the `dataset.json` of a folder or a CSV: what `monai_kd.data.load_datalist` reads.

    What is not divided yet is divided by patient, each section with its share of every class, in the same way for the
    same seed. See :func:`split_groups`. What is divided already, by a column or by folders, stays so.

    Args:
        source: a folder (images/<class>/*, or images/* and labels/* of equal names) or a CSV, whose fields are divided
            by commas, semicolons or tabs.
        out: the file, called `dataset.json`, or its folder; by default beside the images.
        overwrite: write over a file that is there.
        val: share of the validation section, 0.15 by default.
        test: share of the test section, 0.15 by default.
        folds: number of folds of the training section, in place of a validation section.
        seed: of the division.
        extension: of a folder, only files that end so.
        group_pattern: of a folder, the regular expression that finds the patient in a file's name.
        file: of a CSV, more files of each item and the column of their paths: `privileged=clinical`.
        vector: of a CSV, side vectors and the columns of their numbers: `attributes=age,sex`.
        columns: of a CSV: `image_column`, `label_column` (several, with commas between, are findings that may occur
            together), `group_column`, `split_column`.

    Returns:
        A table of the items of each section by class, with its patients, and warnings below it.

    Raises:
        ConfigError: options that do not go together; the file is there.
        DataError: a file, a row, a patient or a section that cannot be used; names it.
    """
    source = Path(source)
    target = _target(source, out, overwrite)
    if source.is_dir():
        given = {**columns, "file": file, "vector": vector}
        _refuse({key: value for key, value in given.items() if value}, "a folder has no columns")
        entries = read_folder(source, extension, group_pattern)
    elif source.is_file():
        _refuse({"extension": extension, "group_pattern": group_pattern}, "a CSV names its files and patients itself")
        files, vectors = _keyed("file", file or ()), _keyed("vector", vector or ())
        if both := sorted(files.keys() & vectors.keys()):
            raise ConfigError(f"{both[0]!r} is both", where="--file and --vector", fix="give each a key of its own")
        paths = {key: column for key, (column, *_) in files.items()}
        entries = read_table(source, **{k: v for k, v in columns.items() if v}, vectors=vectors, files=paths)
    else:
        raise DataError("no such folder or file", where=str(source))
    _check_images(entries)
    names = _class_names(entries, columns.get("label_column") or "")
    labels = [_label(entry, names) for entry in entries]
    groups = [entry.patient if entry.patient is not None else str(entry.image) for entry in entries]
    divided = any(entry.section for entry in entries)
    by = "image" if all(entry.patient is None for entry in entries) else "patient"
    parts = divide(entries, labels, groups, val, test, folds, seed)
    content: dict[str, Any] = {"name": target.parent.resolve().name}
    if names:
        content["labels"] = {str(i): name for i, name in enumerate(names)}
    content["split"] = told(val, test, folds, seed, divided, by)
    content.update({section: [] for section in SECTIONS if section in parts or section == "training"})
    for entry, label, part in zip(entries, labels, parts, strict=True):
        item: dict[str, Any] = {"image": _relative(entry.image, target)}
        item["label"] = _relative(entry.label, target) if isinstance(entry.label, Path) else label
        if entry.patient is not None:
            item["patient"] = entry.patient
        item.update({key: _relative(path, target) for key, path in entry.files.items()})
        item.update(entry.vectors)
        if part.isdecimal():
            item["fold"] = int(part)
        content["training" if part.isdecimal() else part].append(item)
    save_datalist(content, target.parent)
    rows = [part for part in (*sorted({p for p in parts if p.isdecimal()}, key=int), *SECTIONS) if part in parts]
    return "\n".join(
        [f"{target}", *table(rows, parts, labels, groups, names), *warnings(rows, parts, labels, names, entries)]
    )


def _target(source: Path, out: str | os.PathLike | None, overwrite: bool) -> Path:
    target = Path(out) if out is not None else (source if source.is_dir() else source.parent)
    if target.is_dir() or not target.suffix:
        target = target / FILE
    if target.name != FILE:
        raise ConfigError(
            f"must be called {FILE}", where=f"--out {target}", why="a bundle's --dataset_dir is its folder"
        )
    if target.exists() and not overwrite:
        raise ConfigError("is there already", where=str(target), fix="--overwrite writes over it")
    return target


def _refuse(options: Mapping[str, Any], why: str) -> None:
    if given := [f"--{key.replace('_', '-')}" for key, value in options.items() if value is not None]:
        raise ConfigError("does not apply here", where=", ".join(given), why=why)


def _keyed(option: str, given: Sequence[str]) -> dict[str, list[str]]:
    """Keys of what each item has, and their columns."""
    found: dict[str, list[str]] = {}
    for one in given:
        key, _, columns = one.partition("=")
        names = [name.strip() for name in columns.split(",")]
        many = option == "file" and len(names) > 1
        if not key.isidentifier() or key in (*RESERVED, *found) or not all(names) or many:
            raise ConfigError(f"names no {option}", where=f"--{option} {one}", fix=KEYS[option])
        found[key] = names
    return found


def _check_images(entries: Sequence[Entry]) -> None:
    """Refuse an image that is there twice, and two that would have one name: `load_datalist` would."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        name = os.path.splitext(os.path.normpath(entry.image).removesuffix(".gz"))[0]
        if (before := seen.setdefault(name, entry)) is not entry:
            same = os.path.normpath(before.image) == os.path.normpath(entry.image)
            what = "this image is there already" if same else "another image has that name, with another ending"
            raise DataError(what, where=entry.where, why=f"it is {before.where}")


def _label(entry: Entry, names: Sequence[str]) -> Any:
    """A number; of findings, a list; where labels are files, nothing that could be balanced."""
    if isinstance(entry.label, tuple):
        return list(entry.label)
    return 0 if isinstance(entry.label, Path) else names.index(entry.label)


def _class_names(entries: Sequence[Entry], columns: str) -> list[str]:
    """Names of the classes, by number where all are numbers, else by alphabet; none where labels are files."""
    if isinstance(entries[0].label, tuple):
        return [name.strip() for name in columns.split(",")]
    names = sorted({entry.label for entry in entries if isinstance(entry.label, str)})
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _relative(path: Path, target: Path) -> str:
    return Path(os.path.relpath(path, target.parent)).as_posix()
