# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from monai_kd.data.membership import membership
from monai_kd.utils.errors import DataError

__all__ = ["check_groups", "split_groups"]


def split_groups(
    labels: Sequence[int] | ArrayLike, groups: Sequence[Hashable], shares: Sequence[float], seed: int = 0
) -> list[int]:
    r"""Divide items among parts, whole groups (patients) at a time, each part with its share of every class.

    Groups come in random order, large before small; each goes to the part p where it lowers

    .. math:: \sum_p \sum_c \frac{(x_{pc} - s_p n_c)^2}{s_p n_c}

    the most, with x the items of class c that the part has, n all there are of it, and s the part's share. When only as
    many groups are left as parts are empty, those get one each. The order of the items does not matter, only what they
    are called. Time O(G P C) for G groups.

    Args:
        labels: a class per item, [N]; all the same where there is nothing to balance but the numbers. Or findings that
            may occur together, [N, C] of 0 and 1. Negative ones are no label, a class of its own.
        groups: a name per item.
        shares: of each part, positive; they sum to 1. Equal shares make folds.
        seed: of the order.

    Returns:
        Per item, the number of its part.

    Raises:
        DataError: shares that are not positive or do not sum to 1; fewer groups than parts.

    The criterion is ours; in spirit it is that of Sechidis et al., On the stratification of multi-label data, 2011.

    Example::

        >>> from monai_kd.data import split_groups
        >>> split_groups([0, 0, 1, 1, 0, 1], ["a", "a", "b", "b", "c", "d"], [0.7, 0.3])
        [0, 0, 0, 0, 1, 1]
    """
    if not shares or min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise DataError(f"shares must be positive and sum to 1, got {list(shares)}", where="split")
    names = sorted(set(groups), key=str)
    if len(names) < len(shares):
        raise DataError(f"{len(names)} groups cannot be divided among {len(shares)} parts", where="split")
    row = {name: i for i, name in enumerate(names)}
    table, known = membership(labels)
    table = table if known.all() else np.column_stack([~known, table])
    counts = np.zeros((len(names), table.shape[1]))
    np.add.at(counts, np.array([row[group] for group in groups]), table)
    wanted = np.outer(shares, counts.sum(0))  # [parts, classes]
    order = np.random.RandomState(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    has, part = np.zeros_like(wanted), np.full(len(names), -1)
    for done, group in enumerate(order):
        change = (counts[group] * (2 * (has - wanted) + counts[group]) / wanted).sum(1)
        empty = has.sum(1) == 0
        if len(names) - done <= empty.sum():
            change[~empty] = np.inf
        part[group] = int(np.argmin(change))
        has[part[group]] += counts[group]
    return [int(part[row[group]]) for group in groups]


def check_groups(groups: Sequence[Hashable], parts: Sequence[Hashable], places: Sequence[str]) -> None:
    """Refuse a division that has one group (patient) in two parts: what is learnt there would be tested here.

    Args:
        groups: a name per item.
        parts: a part per item.
        places: what an error calls each item.

    Raises:
        DataError: names the group, both parts and both items.
    """
    first: dict[Hashable, int] = {}
    for i, group in enumerate(groups):
        before = first.setdefault(group, i)
        if parts[before] != parts[i]:
            why = f"{places[before]} is in {parts[before]}: what is learnt there would be tested here"
            raise DataError(f"patient {str(group)!r} is in {parts[i]}, too", where=places[i], why=why)
