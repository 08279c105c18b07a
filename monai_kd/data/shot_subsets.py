# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from monai_kd.utils.errors import DataError

__all__ = ["shot_subsets", "subset_weights"]


def shot_subsets(
    items: Iterable[Mapping[str, Any]], num_classes: int, names: Sequence[str] = ("many", "medium", "few")
) -> dict[str, list[int]]:
    """Divide the classes by how many training labels they have: as many classes in each subset as can be.

    Args:
        items: of the training section, as `load_datalist` gives them, with one class each or with findings that may
            occur together; labels that are hidden do not count.
        num_classes: C.
        names: of the subsets, from the commonest classes to the rarest.

    Raises:
        DataError: there are fewer than two classes for each subset, which then would have nothing to tell apart.

    Example::

        >>> from monai_kd.data import shot_subsets
        >>> shot_subsets([{"label": c} for c in (2, 2, 2, 0, 0, 1)], 4, names=["many", "few"])
        {'many': [0, 2], 'few': [1, 3]}
    """
    if num_classes < 2 * len(names):
        fix = f"give subsets that overlap: {{{names[0]}: [0, 1], {names[-1]}: [1, 2], ...}}"
        raise DataError(f"{num_classes} classes do not make {len(names)} subsets", where="shot_subsets", fix=fix)
    counts = _counts(items)
    order = sorted(range(num_classes), key=lambda c: (-counts[c], c))
    return {name: sorted(map(int, part)) for name, part in zip(names, np.array_split(order, len(names)), strict=True)}


def subset_weights(items: Iterable[Mapping[str, Any]], subsets: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """How much the teacher of each subset counts: more if it has few training labels.

    .. math:: l_k = K \\frac{n_k^{-1/2}}{\\sum_j n_j^{-1/2}}

    Args:
        items: of the training section; n_k is how many of their labels are in subset k. Hidden labels do not count.
        subsets: classes of each of the K subsets.

    Raises:
        DataError: a subset has no label.

    Example::

        >>> from monai_kd.data import subset_weights
        >>> items = [{"label": c} for c in (0, 0, 0, 1, 2)]
        >>> {k: round(w, 3) for k, w in subset_weights(items, {"many": [0, 1], "few": [2, 3]}).items()}
        {'many': 0.667, 'few': 1.333}
    """
    counts = _counts(items)
    sizes = {name: sum(counts[c] for c in classes) for name, classes in subsets.items()}
    if empty := [name for name, size in sizes.items() if not size]:
        raise DataError(f"no label is in {', '.join(empty)}", where="subset_weights", fix="raise --labeled_fraction")
    total = sum(size**-0.5 for size in sizes.values())
    return {name: len(sizes) * size**-0.5 / total for name, size in sizes.items()}


def _counts(items: Iterable[Mapping[str, Any]]) -> Counter[int]:
    labels = [np.asarray(item["label"]) for item in items if item.get("labeled", True)]
    return Counter(int(c) for label in labels for c in (np.flatnonzero(label == 1) if label.ndim else [label]))
