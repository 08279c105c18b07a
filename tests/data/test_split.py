# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from monai_kd.data import check_groups, split_groups
from monai_kd.utils.errors import DataError

SHARES = [0.7, 0.15, 0.15]


def cohort(seed: int = 0) -> tuple[list[int], list[str]]:
    """Sixty patients of one to six images, three classes of which one is rare."""
    random = np.random.RandomState(seed)
    sizes = random.randint(1, 7, size=60)
    labels = [int(c) for n in sizes for c in random.choice(3, size=n, p=[0.6, 0.3, 0.1])]
    return labels, [f"p{i}" for i, n in enumerate(sizes) for _ in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_whole_groups_and_fair_shares(seed):
    labels, groups = cohort(seed)
    parts = split_groups(labels, groups, SHARES, seed)
    check_groups(groups, parts, groups)
    total, has = Counter(labels), Counter(zip(parts, labels, strict=True))
    for part, share in enumerate(SHARES):
        for c in total:
            assert abs(has[part, c] - share * total[c]) <= max(3, 0.1 * total[c])


def test_same_seed_same_parts_whatever_the_order():
    labels, groups = cohort()
    parts = split_groups(labels, groups, SHARES, 3)
    assert parts == split_groups(labels, groups, SHARES, 3) != split_groups(labels, groups, SHARES, 4)
    order = np.random.RandomState(1).permutation(len(labels))
    mixed = split_groups([labels[i] for i in order], [groups[i] for i in order], SHARES, 3)
    assert mixed == [parts[i] for i in order]


def test_single_images_are_divided_exactly():
    labels = [0] * 80 + [1] * 20
    parts = split_groups(labels, range(100), [0.2] * 5)
    assert Counter(zip(parts, labels, strict=True)) == {(p, c): n for p in range(5) for c, n in ((0, 16), (1, 4))}


def test_each_choice_lowers_the_criterion_most():
    labels, groups = cohort()
    parts = split_groups(labels, groups, SHARES)
    total = Counter(labels)
    sizes = Counter(groups)
    names = sorted(set(groups))
    order = sorted((names[i] for i in np.random.RandomState(0).permutation(len(names))), key=lambda name: -sizes[name])
    has: Counter = Counter()

    def criterion(extra: int, group: str) -> float:
        mine = Counter((extra, label) for label, g in zip(labels, groups, strict=True) if g == group)
        return sum(
            (has[p, c] + mine[p, c] - s * n) ** 2 / (s * n) for p, s in enumerate(SHARES) for c, n in total.items()
        )

    for group in order[:-3]:
        part = parts[groups.index(group)]
        assert criterion(part, group) <= min(criterion(p, group) for p in range(3)) + 1e-9
        has.update((part, label) for label, g in zip(labels, groups, strict=True) if g == group)


def test_no_part_is_empty_and_too_few_groups_are_an_error():
    assert sorted(split_groups([0] * 3, "abc", SHARES)) == [0, 1, 2]
    with pytest.raises(DataError, match="2 groups cannot be divided among 3 parts"):
        split_groups([0] * 4, "aabb", SHARES)
    with pytest.raises(DataError, match="sum to 1"):
        split_groups([0] * 4, "abcd", [0.5, 0.4])


def test_a_leak_is_named():
    with pytest.raises(DataError, match=r"row 2: patient 'a' is in test, too. row 0 is in training: what is learnt"):
        check_groups(["a", "b", "a"], ["training", "test", "test"], ["row 0", "row 1", "row 2"])
