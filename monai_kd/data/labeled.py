# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from monai_kd.data.membership import membership
from monai_kd.utils.errors import DataError

__all__ = ["draw_labeled"]


def draw_labeled(
    labels: Sequence[int] | ArrayLike, patients: Sequence[str], fraction: float, seed: int = 0
) -> np.ndarray:
    """Draw which items keep their label: `fraction` of each class, at least one, whole patients.

    Patients come in random order; one is taken while some class of the patient's items is short of
    round(fraction * its number). With one item of one class a patient that is an exact stratified draw; with larger
    patients, or findings that occur together, a class may get more than its part.

    Args:
        labels: classes, [N], -1 for none; or findings that may occur together, [N, C] of 0 and 1, a row of -1 for none.
            What has no label is never drawn.
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
    table, known = membership(labels)
    short = np.maximum(1, np.rint(fraction * table.sum(0)))
    names, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    drawn = np.zeros(len(known), dtype=bool)
    for patient in np.random.RandomState(seed).permutation(len(names)):
        mine = rows[patient][known[rows[patient]]]
        has = table[mine].sum(0)
        if (has[short > 0] > 0).any():
            drawn[mine] = True
            short -= has
    return drawn
