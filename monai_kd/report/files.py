# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.metrics.classification import checked
from monai_kd.metrics.multilabel import checked_findings
from monai_kd.utils import read_json
from monai_kd.utils.errors import DataError

__all__ = ["read_arrays", "read_examples", "read_history", "read_predictions", "read_scores", "read_settings"]

ROLES = ("teacher", "alone", "distilled")
TEXTS = ("title", "setting", "command", "data", "split")
COSTS = ("parameters", "flops", "latency_ms", "file_bytes", "train_seconds")


def read_settings(path: Path) -> dict[str, Any]:
    """Read and check a `run.json`.

    Raises:
        DataError: not JSON, a key that is missing, or a value of the wrong kind; names the file and the key.
    """
    values = read_json(path)

    def check(key: str, fits: bool, want: str) -> None:
        if not fits:
            raise DataError(f"must be {want}, got {values[key]!r}", where=f"{path}, key '{key}'")

    required = ("role", "recipe", "seed", *TEXTS, *COSTS)
    missing = [key for key in required if key not in values]
    if missing:
        raise DataError("is missing", where=f"{path}, key '{missing[0]}'", fix=f"keys: {', '.join(required)}")
    check("role", values["role"] in ROLES, f"one of {', '.join(ROLES)}")
    check("recipe", values["recipe"] is None or isinstance(values["recipe"], str), "a text or null")
    check("seed", type(values["seed"]) is int, "an integer")
    for key in TEXTS:
        check(key, isinstance(values[key], str), "a text")
    for key in COSTS:
        value = values[key]
        good = value is None or (type(value) in (int, float) and np.isfinite(value) and value >= 0)
        check(key, good, "a number that is not negative, or null")
    if "classes" in values:
        names = values["classes"]
        check("classes", isinstance(names, list) and all(isinstance(name, str) for name in names), "a list of names")
    if values.get("subsets") is not None:
        subsets = values["subsets"]
        good = isinstance(subsets, Mapping) and all(
            isinstance(classes, list) and all(type(c) is int for c in classes) for classes in subsets.values()
        )
        check("subsets", good, "a mapping from names to lists of classes, or null")
    if "environment" in values:
        check("environment", isinstance(values["environment"], Mapping), "a mapping from names to versions")
    return dict(values)


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Read a `history.csv`: column `epoch`, and any others; an empty cell is nan. No file: no columns.

    Raises:
        DataError: no column `epoch`, or a cell that is not a number; names the file, the line and the column.
    """
    if not path.is_file():
        return {}
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    except ValueError as error:
        raise DataError("is not text", where=str(path), why=str(error)) from error
    names = list(reader.fieldnames or [])
    if "epoch" not in names:
        raise DataError("is missing", where=f"{path}, column 'epoch'", fix=f"columns: {', '.join(names) or 'none'}")
    columns: dict[str, list[float]] = {name: [] for name in names}
    for row in reader:
        if None in row:
            raise DataError("has more cells than there are columns", where=f"{path}, line {reader.line_num}")
        for name in names:
            try:
                columns[name].append(float(row[name] or "nan"))
            except ValueError as error:
                where = f"{path}, line {reader.line_num}, column '{name}'"
                raise DataError(f"is not a number: {row[name]!r}", where=where) from error
    if np.isnan(columns["epoch"]).any():
        raise DataError("has an empty cell", where=f"{path}, column 'epoch'")
    return {name: np.array(values) for name, values in columns.items()}


def read_arrays(path: Path, required: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read a `.npz` of plain arrays; pickled objects are refused.

    Raises:
        DataError: no such file, not an archive, or an array that is missing; names the file and the key.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=str(path), fix="evaluate the run, which writes it")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            "cannot be read", where=str(path), why=str(error), fix="save plain arrays with np.savez"
        ) from error
    for key in required:
        if key not in arrays:
            raise DataError("is missing", where=f"{path}, key '{key}'", fix=f"keys: {', '.join(arrays) or 'none'}")
    return arrays


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Read and check a `predictions.npz`, its rows sorted by case.

    Its `label` is [N], one class a case, with probabilities that sum to one; or [N, C], 0 or 1 for each finding, with a
    probability of each.

    Raises:
        DataError: keys that are missing or do not fit each other, a case that occurs twice; names the file and the key.
    """
    arrays = read_arrays(path, ("case", "label", "probability", "group"))
    try:
        check = checked_findings if arrays["label"].ndim == 2 else checked
        label, probability = check(arrays["label"], arrays["probability"])
        teacher = arrays.get("teacher_probability")
        if teacher is not None and teacher.shape != probability.shape:
            raise DataError(
                f"expected shape {list(probability.shape)}, got {list(teacher.shape)}", where="teacher_probability"
            )
        teacher = None if teacher is None else check(label, teacher)[1]
        for key in ("case", "group"):
            if arrays[key].shape != label.shape[:1]:
                raise DataError(f"expected shape {[len(label)]}, got {list(arrays[key].shape)}", where=key)
    except DataError as error:
        raise error.at(str(path)) from error
    table = {"label": label, "probability": probability, "group": arrays["group"].astype(str)}
    if teacher is not None:
        table["teacher_probability"] = teacher
    return _by_case(path, arrays["case"], table)


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """Read and check a `scores.npz`, its rows sorted by case; its distances are in mm if it has no `unit`.

    Raises:
        DataError: keys that are missing or do not fit each other, a case or a structure that occurs twice, a Dice that
            is not in 0..1, a distance that is negative or not finite; names the file and the key.
    """
    arrays = read_arrays(path, ("case", "group", "structures", "dice", "hd95"))

    def check(key: str, fits: bool, what: str) -> None:
        if not fits:
            raise DataError(what, where=f"{path}, key '{key}'")

    names, count = arrays["structures"].astype(str), arrays["case"].size
    check("structures", names.ndim == 1 and names.size > 0, f"expected shape [S], got {list(names.shape)}")
    check("structures", len(set(names.tolist())) == names.size, f"a name occurs twice: {', '.join(names.tolist())}")
    unit = arrays.get("unit", np.array("mm"))
    check("unit", unit.shape == () and unit.dtype.kind == "U", f"expected a text, got {unit.dtype} {list(unit.shape)}")
    check("case", count > 0, "there is no case to score")
    shapes = {"case": [count], "group": [count], "dice": [count, names.size], "hd95": [count, names.size]}
    for key, shape in shapes.items():
        check(key, list(arrays[key].shape) == shape, f"expected shape {shape}, got {list(arrays[key].shape)}")
    for key, high in {"dice": 1.0, "hd95": np.inf}.items():
        check(key, arrays[key].dtype.kind in "iuf", f"must hold numbers, got {arrays[key].dtype}")
        values = arrays[key].astype(np.float64)
        bad = ~(np.isfinite(values) & (values >= 0) & (values <= high))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            where = f"case {str(arrays['case'][row])!r}, {str(names[column])!r}"
            check(key, False, f"{values[row, column]:g} of {where} is not {'in 0..1' if high == 1 else 'a distance'}")
        arrays[key] = values
    table = {"group": arrays["group"].astype(str), "dice": arrays["dice"], "hd95": arrays["hd95"]}
    return {"structures": names, "unit": unit, **_by_case(path, arrays["case"], table)}


def _by_case(path: Path, names: np.ndarray, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names of the cases, sorted, and the rows of the arrays in that order."""
    case, order, count = np.unique(names.astype(str), return_index=True, return_counts=True)
    if len(case) < len(names):
        raise DataError(f"case {str(case[count > 1][0])!r} occurs more than once", where=f"{path}, key 'case'")
    return {"case": case, **{key: values[order] for key, values in table.items()}}


def read_examples(path: Path) -> dict[str, np.ndarray]:
    """Read and check an `examples.npz`; no file: nothing.

    Raises:
        DataError: pictures that are not bytes [K, H, W] or [K, H, W, 3], or rows that do not fit; names file and key.
    """
    if not path.is_file():
        return {}
    arrays = read_arrays(path, ("images", "label"))
    count = arrays["label"].size
    for key in ("images", "privileged"):
        if key in arrays:
            pictures = arrays[key]
            colour = pictures.ndim == 4 and pictures.shape[-1] == 3
            if pictures.dtype != np.uint8 or not (pictures.ndim == 3 or colour) or len(pictures) != count:
                what = (
                    f"expected uint8 [{count}, H, W] or [{count}, H, W, 3], got {pictures.dtype} {list(pictures.shape)}"
                )
                raise DataError(what, where=f"{path}, key '{key}'")
    for key in ("label", *ROLES):
        if key in arrays and (arrays[key].shape != (count,) or not np.issubdtype(arrays[key].dtype, np.integer)):
            what = f"expected {count} integers, got {arrays[key].dtype} {list(arrays[key].shape)}"
            raise DataError(what, where=f"{path}, key '{key}'")
    return arrays
