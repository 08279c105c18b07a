# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.data import select_exemplars
from monai_kd.utils import DataError, ShapeMismatchError


def herded(features: list[list[float]], size: int) -> list[int]:
    """The formula, sample by sample."""
    unit = [[v / math.sqrt(sum(w * w for w in x)) for v in x] for x in features]
    mean = [sum(column) / len(unit) for column in zip(*unit, strict=True)]
    taken: list[int] = []
    while len(taken) < min(size, len(unit)):
        apart = {}
        for i in set(range(len(unit))) - set(taken):
            group = [unit[j] for j in (*taken, i)]
            apart[i] = math.dist(mean, [sum(column) / len(group) for column in zip(*group, strict=True)])
        taken.append(min(apart, key=apart.__getitem__))
    return taken


@pytest.mark.parametrize("size", [1, 4, 50])
def test_each_class_is_herded_by_itself(size):
    features = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.arange(40) % 3 - (torch.arange(40) == 7) * 5  # one has no class
    expected = []
    for c in range(3):
        rows = [i for i in range(40) if label[i] == c]
        expected += [rows[i] for i in herded(features[rows].tolist(), size)]
    assert select_exemplars(features, label, size).tolist() == expected
    assert 7 not in expected and len(set(expected)) == len(expected)


def test_a_smaller_memory_is_the_beginning_of_a_larger_one():
    features, label = torch.randn(20, 4), torch.zeros(20, dtype=torch.long)
    assert select_exemplars(features, label, 3).equal(select_exemplars(features, label, 9)[:3])


def test_the_mean_of_a_few_is_nearer_than_that_of_as_many_others():
    features = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)).abs()
    label = torch.zeros(200, dtype=torch.long)
    unit = torch.nn.functional.normalize(features, dim=1)
    apart = [(unit.mean(0) - unit[rows].mean(0)).norm() for rows in (select_exemplars(features, label, 10), range(10))]
    assert apart[0] < apart[1] / 2


def test_what_does_not_fit_is_an_error():
    assert select_exemplars(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 2).tolist() == []
    with pytest.raises(ShapeMismatchError, match=r"\(3, 2\), label \(2,\)"):
        select_exemplars(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), 2)
    with pytest.raises(DataError, match="per_class"):
        select_exemplars(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), 0)
