# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_kd.data.checks.report import Finding

__all__ = ["Case", "check_folds", "check_leaks", "name_parts"]


@dataclass
class Case:
    """An item of the list and what was found of it.

    Args:
        raw: the item.
        section: which list it is in.
        item: its place there, such as `training[3]`.
        part: what it is kept apart from others with: its section, or its fold.
        sha256: of the voxels of its image, empty if it could not be read.
        classes: of its label; None if it has none, or none that can be used.
        files: those it has, by key.
    """

    raw: Mapping[str, Any]
    section: str
    item: str
    part: str = ""
    sha256: str = ""
    classes: list[int] | None = None
    files: dict[str, str] = field(default_factory=dict)


def name_parts(cases: Sequence[Case]) -> None:
    """Give each case its part: the section, or the fold where folds validate.

    Args:
        cases: all of them.
    """
    by_fold = all(case.section != "validation" for case in cases) and any("fold" in case.raw for case in cases)
    for case in cases:
        fold = case.section == "training" and by_fold
        case.part = f"training, fold {case.raw.get('fold')}" if fold else case.section


def check_folds(cases: Sequence[Case]) -> Iterator[Finding]:
    """Folds that are no integers, that only some items have, that are one, or that nobody uses.

    Args:
        cases: all of them.
    """
    training = [case for case in cases if case.section == "training"]
    given = [case for case in training if "fold" in case.raw]
    if not given:
        return
    if any(case.section == "validation" for case in cases):
        yield Finding("warning", "fold", "there are folds and a validation section: the folds are not used")
        return
    for case in training:
        if type(case.raw.get("fold")) is not int:
            what = "its fold is not an integer" if "fold" in case.raw else "has no fold, though others have"
            yield Finding("error", "fold", what, item=case.item, fix="give each training item a fold")
    if len({str(case.raw["fold"]) for case in given}) < 2:
        yield Finding("error", "fold", "there is one fold only: nothing is left to train on", fix="two folds or more")


def check_leaks(cases: Sequence[Case]) -> Iterator[Finding]:
    """Patients in two parts, and images and names that occur twice.

    Args:
        cases: all of them, with their parts.
    """
    patients: dict[str, Case] = {}
    for case in cases:
        if "patient" in case.raw:
            first = patients.setdefault(str(case.raw["patient"]), case)
            if first.part != case.part:
                what = f"its patient is also in {first.item} ({first.part}): what is learnt there is tested here"
                yield Finding("error", "leak", what, item=case.item, fix="divide by patient")
    for how in ("file", "content"):
        images: dict[str, Case] = {}
        for case in cases:
            image = case.files.get("image", "")
            key = image if how == "file" else case.sha256
            first = images.setdefault(key, case)
            if not key or first is case or (how == "content" and first.files.get("image") == image):
                continue
            apart = first.part != case.part
            what = "is the same image" if how == "file" else "has the same voxels"
            what = f"{what} as {first.item}" + (f" ({first.part})" if apart else "")
            yield Finding("error" if apart else "warning", "leak", what, image, case.item, "keep one of them")
    names = Counter((case.section, str(case.raw["case"])) for case in cases if "case" in case.raw)
    for case in cases:
        if "case" in case.raw and names[case.section, str(case.raw["case"])] > 1:
            yield Finding(
                "error", "leak", "its case has the name of another", item=case.item, fix="name each case once"
            )
