# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_kd.utils.errors import DataError

__all__ = ["check_num_classes", "class_labels", "count_classes"]


def class_labels(content: Mapping[str, Any]) -> dict[str, str]:
    """The names of the classes by number, as text: `labels` of a `dataset.json`, a mapping or a list; perhaps none.

    Args:
        content: of the file.

    Example::

        >>> from monai_kd.data.class_labels import class_labels
        >>> class_labels({"labels": ["benign", "malignant"]})
        {'0': 'benign', '1': 'malignant'}
    """
    labels = content.get("labels")
    named = enumerate(labels) if isinstance(labels, list) else labels.items() if isinstance(labels, Mapping) else ()
    return {str(number): str(name) for number, name in named}


def count_classes(content: Mapping[str, Any]) -> int | None:
    """How many classes a `dataset.json` says there are, background and findings included; None if it does not say.

    It says so where its `labels` name every class, from 0 without a gap. Some names only, or nnU-Net's labels, which go
    from names to numbers, say nothing.

    Args:
        content: of the file.

    Example::

        >>> from monai_kd.data.class_labels import count_classes
        >>> count_classes({"labels": {"0": "background", "1": "nucleus"}}), count_classes({"labels": {"1": "nucleus"}})
        (2, None)
    """
    names = class_labels(content)
    return len(names) if names and names.keys() == {str(i) for i in range(len(names))} else None


def check_num_classes(content: Mapping[str, Any], num_classes: int | None, where: str) -> None:
    """Refuse a number of classes that a `dataset.json` contradicts: a network would learn classes that are not there.

    Args:
        content: of the file.
        num_classes: what a bundle was told; None passes.
        where: the file.

    Raises:
        DataError: :func:`count_classes` is another number.
    """
    named = count_classes(content)
    if named is not None and num_classes is not None and named != num_classes:
        fix = f"give --num_classes {named} to every command (of bags: --grades {named}), or mend the labels"
        raise DataError(f"names {named} classes, num_classes is {num_classes}", where=f"{where}, labels", fix=fix)
