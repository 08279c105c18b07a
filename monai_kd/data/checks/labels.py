# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monai_kd.data.checks.facts import FileFacts
from monai_kd.data.checks.report import Finding
from monai_kd.data.checks.voxels import KEPT

__all__ = ["check_class", "check_classes", "check_label_file"]

SHOWN = 10


def check_class(label: Any, num_classes: int | None, multilabel: bool) -> tuple[list[int], str]:
    """The classes of an item that has them in the list, and what is wrong with them.

    Args:
        label: an integer, or a list of zeros and ones.
        num_classes: how many there are; None if that is not known.
        multilabel: whether it must be a list.

    Example::

        >>> from monai_kd.data.checks.labels import check_class
        >>> check_class(5, 3, False)
        ([], 'label 5, expected 0 to 2')
    """
    if multilabel:
        if not isinstance(label, list) or any(type(value) is not int or value not in (0, 1) for value in label):
            return [], "label is not a list of zeros and ones"
        if num_classes is not None and len(label) != num_classes:
            return [], f"label has {len(label)} findings, expected {num_classes}"
        return [number for number, value in enumerate(label) if value], ""
    if type(label) is not int:
        return [], f"label is a {type(label).__name__}, expected an integer"
    if label < 0 or (num_classes is not None and label >= num_classes):
        return [], f"label {label}, expected {_expected(num_classes)}"
    return [label], ""


def check_label_file(facts: FileFacts, num_classes: int | None) -> tuple[list[int], list[tuple[str, str, str]]]:
    """The classes in a label map, and (severity, fault, what) of each thing that is wrong with it.

    Args:
        facts: what it holds.
        num_classes: how many there are; None if that is not known.
    """
    faults = []
    if facts.not_finite:
        faults.append(("error", "K24", f"{facts.not_finite} voxels are NaN or infinite"))
    if facts.fractions:
        faults.append(("error", "K24", f"found {_listed(facts.fractions)}, expected whole numbers"))
    good = sorted(v for v in facts.values if v >= 0 and (num_classes is None or v < num_classes))
    bad = sorted(facts.values - set(good))
    if bad:
        faults.append(("error", "K24", f"found {_listed(bad)}, expected {_expected(num_classes)}"))
    if len(facts.values) >= KEPT:
        faults.append(("error", "K24", f"found {KEPT} values or more: an image, not a label"))
        good = []
    if not faults and good == [0]:
        faults.append(("warning", "K26", "has no foreground"))
    return good, faults


def check_classes(
    parts: Mapping[str, Sequence[list[int]]], num_classes: int | None, multilabel: bool
) -> Iterator[Finding]:
    """Say which parts of the data set have one class only, and which classes are nowhere to be learnt.

    Args:
        parts: the classes of each labelled item, by what the part is called.
        num_classes: how many there are; None if that is not known.
        multilabel: whether classes may occur together; then one without negatives is as bad as one without positives.
    """
    found = {part: Counter(c for classes in items for c in classes) for part, items in parts.items() if items}
    learnt: Counter = sum((counts for part, counts in found.items() if part.startswith("training")), Counter())
    known = range(num_classes) if num_classes is not None else sorted(set().union(*found.values()))
    for part, counts in found.items():
        severity = "warning" if part == "test" else "error"
        missing = [c for c in known if not counts[c]]
        if multilabel:
            constant = [c for c in known if counts[c] in (0, len(parts[part]))]
            if constant:
                what = f"findings {_listed(constant)} are all 0 or all 1: AUC is not defined"
                all_of_them = len(constant) == len(known)
                yield Finding(severity if all_of_them else "warning", "K29", what, item=part)
        elif len(counts) == 1 and (num_classes or 2) > 1:
            (only,) = counts
            yield Finding(severity, "K29", f"has one class only: {only}", item=part, fix="divide it by class")
        elif missing:
            yield Finding("warning", "K26", f"classes {_listed(missing)} are absent", item=part)
        new = [c for c in sorted(counts) if not learnt[c]]
        if new and learnt and not part.startswith("training"):
            yield Finding("error", "K26", f"classes {_listed(new)} are not in the training section", item=part)


def _expected(num_classes: int | None) -> str:
    return "0 or more" if num_classes is None else f"0 to {num_classes - 1}"


def _listed(values: Sequence[float]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(f"{value:g}" for value in values[:SHOWN]) + more
