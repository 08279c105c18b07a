# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from monai_kd.utils.errors import DataError

__all__ = ["check_declared_vectors", "looks_like_vector", "not_finite", "read_vectors", "wrong_form"]

RESERVED = ("image", "label", "labeled", "index", "patient", "case", "group", "fold")
LARGEST = float(np.finfo(np.float32).max)


def check_declared_vectors(vectors: Mapping[str, int], pictures: Collection[str] = ()) -> None:
    """Refuse vectors that cannot be declared so.

    Args:
        vectors: {key: length} of side vectors.
        pictures: keys that are read as files.

    Raises:
        DataError: a key that has another meaning, or a length that is none; names it.
    """
    for key, length in vectors.items():
        if key in (*RESERVED, *pictures):
            raise DataError("cannot be a vector: it is something else", where=f"vectors, {key!r}", fix="rename the key")
        if type(length) is not int or length < 1:
            what = f"must be a length, an integer of 1 or more, got {length!r}"
            raise DataError(what, where=f"vectors, {key!r}")


def read_vectors(raw: Mapping[str, Any], vectors: Mapping[str, int], where: str) -> dict[str, np.ndarray]:
    """The side vectors of an item of a data list, checked: {key: float32 [length]}.

    Args:
        raw: the item; numbers stand in it as lists.
        vectors: {key: length}, all of which it must have.
        where: what an error calls the item; of its numbers an error tells only where they stand.

    Raises:
        DataError: a vector is missing, is no list of numbers, is of another length, or is not finite in float32.

    Example::

        >>> from monai_kd.data.side_vectors import read_vectors
        >>> read_vectors({"attributes": [1, 0.5]}, {"attributes": 2}, "a")
        {'attributes': array([1. , 0.5], dtype=float32)}
        >>> read_vectors({"attributes": [1, 0.5]}, {"attributes": 3}, "a")
        Traceback (most recent call last):
        monai_kd.utils.errors.DataError: a: 'attributes' has 2 numbers, expected 3. each item needs 3 ...
    """
    for key, length in vectors.items():
        what = wrong_form(raw[key], length) or not_finite(raw[key]) if key in raw else "is missing"
        if what:
            fix = f"each item needs {length} finite numbers; another length is declared by --vectors::{key} NUMBER"
            raise DataError(f"{key!r} {what}", where=where, fix=fix)
    return {key: np.array(raw[key], np.float32) for key in vectors}


def looks_like_vector(value: Any) -> bool:
    """Whether a value of an item is meant as a vector: a list with a number in it.

    Args:
        value: of any key but the label.
    """
    return isinstance(value, list) and any(type(number) in (int, float) for number in value)


def wrong_form(value: Any, length: int) -> str:
    """What keeps a value from being a list of so many numbers; empty if nothing does.

    Args:
        value: of an item.
        length: how many it must have.

    Example::

        >>> from monai_kd.data.side_vectors import wrong_form
        >>> wrong_form([0.2, True], 2)
        'holds a bool at place 1, not a number'
    """
    if not isinstance(value, list):
        return f"is a {type(value).__name__}, not a list of numbers"
    for place, number in enumerate(value):
        if type(number) not in (int, float):
            return f"holds a {type(number).__name__} at place {place}, not a number"
    return "" if len(value) == length else f"has {len(value)} numbers, expected {length}"


def not_finite(value: list) -> str:
    """Where a list of numbers is not finite in float32; empty if it is.

    Args:
        value: the numbers.

    Example::

        >>> from monai_kd.data.side_vectors import not_finite
        >>> not_finite([0.2, float("nan"), 1e39])
        'is nan, infinite or beyond float32 at place 1, and at 1 more'
    """
    places = [place for place, number in enumerate(value) if not abs(number) <= LARGEST]
    more = f", and at {len(places) - 1} more" if len(places) > 1 else ""
    return f"is nan, infinite or beyond float32 at place {places[0]}{more}" if places else ""
