# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_kd.data.checks.facts import BadFile, FileFacts
from monai_kd.data.checks.files import KINDS
from monai_kd.data.checks.geometry import compare_geometry
from monai_kd.data.checks.labels import check_class, check_label_file
from monai_kd.data.checks.leaks import Case
from monai_kd.data.checks.report import Finding
from monai_kd.data.side_vectors import looks_like_vector

__all__ = ["check_case", "find_files", "job"]

NO_FILES = ("label", "patient", "case", "group", "fold", "labeled")  # though a name may end as a file does


def find_files(case: Case, keys: Sequence[str] | None, folder: Path) -> Iterator[Finding]:
    """Fill in the files of a case, and say which are missing in its item.

    Args:
        case: of the list.
        keys: besides `image` and `label`; None takes all that look like files, or are folders.
        folder: what paths are relative to.
    """
    raw = case.raw
    if keys is None:
        texts = [(key, v) for key, v in raw.items() if isinstance(v, str) and v and key not in NO_FILES]
        keys = [key for key, v in texts if v.lower().endswith(tuple(KINDS)) or os.path.isdir(folder / v)]
    for key in dict.fromkeys(("image", *keys)):
        if isinstance(raw.get(key), str):
            case.files[key] = os.path.normpath(raw[key])
        elif key == "image" or not looks_like_vector(raw.get(key)):  # a vector is looked at beside those of others
            yield Finding("error", "K30", f"{key!r} is missing or not a path", item=case.item)
    if isinstance(raw.get("label"), str):
        case.files["label"] = os.path.normpath(raw["label"])
    if type(raw.get("labeled", True)) is not bool:
        yield Finding("error", "K24", "labeled must be true or false", item=case.item)


def job(case: Case, key: str) -> tuple[str, bool]:
    """What to read: the file, and whether it is a label.

    Args:
        case: of the list.
        key: of the file.
    """
    return case.files[key], key == "label"


def check_case(
    case: Case, read: Mapping[tuple[str, bool], Any], num_classes: int | None, multilabel: bool, unlabeled: str
) -> Iterator[Finding]:
    """Fill in the classes of a case, and say what is wrong with it and its files.

    Args:
        case: with its files.
        read: facts of each file, or the error that it gave, by :func:`job`.
        num_classes: how many there are; None if that is not known.
        multilabel: whether a label is a list of zeros and ones.
        unlabeled: a section whose items need no label.
    """
    good: dict[str, FileFacts] = {}
    for key, name in case.files.items():
        facts = read[job(case, key)]
        if isinstance(facts, BadFile):
            severity = "error" if facts.fault else "warning"
            yield Finding(severity, facts.fault, facts.what, name, case.item, facts.fix)
            continue
        good[key] = facts
        faults = list(facts.faults)
        if key == "label":
            case.classes, found = check_label_file(facts, num_classes)
            called = case.raw.get("case", case.files.get("image", ""))
            faults += [(severity, fault, f"case {called}: {what}") for severity, fault, what in found]
        elif facts.not_finite:
            faults.append(("error", "K39", f"{facts.not_finite} voxels are NaN, infinite or beyond float32"))
        elif facts.low == facts.high:
            faults.append(("warning", "K39", f"all voxels are {facts.low:g}"))
        for severity, fault, what in faults:
            yield Finding(severity, fault, what, name, case.item)
    if "image" in good:
        case.sha256 = good["image"].sha256
        for key, facts in good.items():
            if key != "image" and (what := compare_geometry(good["image"], facts)):
                yield Finding("error", "K32", f"{key} and image differ: {what}", case.files[key], case.item)
    label = case.raw.get("label")
    if label is None:
        if case.raw.get("labeled", True) and case.section != unlabeled:
            yield Finding("error", "K24", "'label' is missing", item=case.item, fix="give it, or labeled: false")
    elif "label" not in case.files:
        classes, what = check_class(label, num_classes, multilabel)
        case.classes = None if what else classes
        if what:
            called = case.raw.get("case", case.files.get("image", ""))
            yield Finding("error", "K24", f"case {called}: {what}", case.files.get("image", ""), case.item)
