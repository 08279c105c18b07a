# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from monai_kd.commands.listing import Entry

__all__ = ["table", "warnings"]


def table(
    rows: Sequence[str], parts: Sequence[str], labels: Sequence[Any], groups: Sequence[str], names: Sequence[str]
) -> list[str]:
    """Lines that count the items of each part by class, and its patients.

    Args:
        rows: the parts, in order.
        parts: of each item.
        labels: of each item.
        groups: of each item.
        names: of the classes; none where labels are files.
    """
    lines = [["", *names, "items", "patients"]]
    for row in rows:
        mine = [i for i, part in enumerate(parts) if part == row]
        counts = Counter(c for i in mine for c in _classes(labels[i]))
        numbers = [*(counts[c] for c in range(len(names))), len(mine), len({groups[i] for i in mine})]
        lines.append([f"fold {row}" if row.isdecimal() else row, *map(str, numbers)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]


def warnings(
    rows: Sequence[str], parts: Sequence[str], labels: Sequence[Any], names: Sequence[str], entries: Sequence[Entry]
) -> list[str]:
    """Lines that say what to look at: a part without a class, classes without names, no patients, no validation.

    Args:
        rows: the parts, in order.
        parts: of each entry.
        labels: of each entry.
        names: of the classes; none where labels are files.
        entries: what there is.
    """
    there = {(part, c) for part, label in zip(parts, labels, strict=True) for c in _classes(label)}
    lines = [
        f"warning: {f'fold {row}' if row.isdecimal() else row} has no {name!r}"
        for row in rows
        for c, name in enumerate(names)
        if (row, c) not in there
    ]
    if not names:
        lines.append('warning: the classes in the label files have no names: add "labels": {"0": "background", ...}')
    if all(entry.patient is None for entry in entries):
        lines.append("warning: no patients are given: images of one patient may be in two sections")
    if "validation" not in rows and not any(row.isdecimal() for row in rows):
        lines.append("warning: there is no validation section: give --val or --folds")
    return lines


def _classes(label: Any) -> list[int]:
    """The class of an item, or its findings."""
    return [c for c, has in enumerate(label) if has] if isinstance(label, list) else [label]
