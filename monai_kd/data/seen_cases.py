# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from monai_kd.utils import beside, read_json
from monai_kd.utils.errors import DataError

__all__ = ["check_unseen", "seen_names"]


def check_unseen(path: str | os.PathLike, items: Iterable[Mapping[str, Any]]) -> str:
    """Refuse a teacher that was trained on a case which now judges its student, as one of another fold was.

    What such a teacher remembers of the case, or of another image of the same patient, reaches the student through its
    answers, so the student's figures would be too good. `FinalModelSaver(cases=seen_names(items))` writes what a
    network was trained on beside its weights, in a file that ends in `.cases.json`; where there is none nothing is
    known, and nothing is checked.

    Args:
        path: the teacher's weights.
        items: that validate or test the student, each with its `case`, and perhaps the `group` it is of.

    Returns:
        The path, as text.

    Raises:
        DataError: the teacher was trained on one of the cases or groups; names both.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.data import check_unseen
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> check_unseen(path, [{"case": "a"}]) == path  # nothing is known of this one
        True
    """
    record = beside(path, ".cases.json")
    if record.is_file():
        seen = set(read_json(record)["cases"])
        both = sorted(str(item["case"]) for item in items if seen.intersection(seen_names([item])))
        if both:
            shown = ", ".join(map(repr, both[:3])) + ", ..." * (len(both) > 3)
            what = f"was trained on {len(both)} of the cases that judge its student: {shown}"
            fix = "take the teacher of the fold in which they validate, or other cases"
            raise DataError(what, where=str(path), why=f"{record.name} says so", fix=fix)
    return str(path)


def seen_names(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of cases, and of the groups (patients, lesions) that they are of, each once.

    Args:
        items: each with its `case`, and perhaps its `group`.

    Example::

        >>> from monai_kd.data import seen_names
        >>> seen_names([{"case": "a", "group": "p1"}, {"case": "b", "group": "p1"}])
        ['a', 'b', 'group p1']
    """
    items = list(items)
    return sorted(
        {str(item["case"]) for item in items} | {f"group {item['group']}" for item in items if "group" in item}
    )
