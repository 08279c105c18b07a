# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["membership"]


def membership(labels: Sequence[int] | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Which item is of which class, for one label an item or several.

    Args:
        labels: classes, [N], -1 for none; or findings that may occur together, [N, C] of 0 and 1, a row of -1 for none.

    Returns:
        A table [N, K] of booleans, one column for each class or finding that occurs; an item without any finding is of
        a class of its own. And which items have a label, [N]; rows of the others are False.

    Example::

        >>> from monai_kd.data.membership import membership
        >>> table, known = membership([[1, 1], [0, 0], [-1, -1]])
        >>> table.tolist(), known.tolist()
        ([[True, True, False], [False, False, True], [False, False, False]], [True, True, False])
    """
    y = np.asarray(labels)
    if y.ndim < 2:
        known = y >= 0
        return y[:, None] == np.unique(y[known]), known
    known = np.all(y >= 0, axis=1)
    table = np.column_stack([y == 1, (y == 0).all(1)]) & known[:, None]
    return table[:, table.any(0)], known
