# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_kd.utils.errors import DataError

__all__ = ["draw_labeled"]


def draw_labeled(labels: Sequence[int], patients: Sequence[str], fraction: float, seed: int = 0) -> np.ndarray:
    """Draw which items keep their label: `fraction` of each class, at least one, whole patients.

    Patients come in random order; one is taken while some class of the patient's items is short of
    round(fraction * its number). With one item a patient that is an exact stratified draw; with larger patients a class
    may get more than its part.

    Args:
        labels: classes; -1 has no label and is never drawn.
        patients: of each item, a name.
        fraction: in (0, 1].
        seed: of the order.

    Returns:
        A boolean per item.

    Raises:
        DataError: `fraction` is not in (0, 1].

    Example::

        >>> from monai_kd.data import draw_labeled
        >>> draw_labeled([0, 0, 1, 1], ["a", "b", "c", "d"], 0.5, seed=1).tolist()
        [True, False, False, True]
    """
    if not 0 < fraction <= 1:
        raise DataError(f"must be in (0, 1], got {fraction}", where="labeled_fraction")
    y = np.asarray(labels)
    classes, counts = np.unique(y[y >= 0], return_counts=True)
    short = {int(c): max(1, round(fraction * n)) for c, n in zip(classes, counts, strict=True)}
    names, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    drawn = np.zeros(len(y), dtype=bool)
    for patient in np.random.RandomState(seed).permutation(len(names)):
        mine = [i for i in rows[patient] if y[i] >= 0]
        if any(short[int(y[i])] > 0 for i in mine):
            drawn[mine] = True
            for i in mine:
                short[int(y[i])] -= 1
    return drawn
