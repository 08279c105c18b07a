# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.data import shot_subsets, subset_weights
from monai_kd.utils.errors import DataError

COUNTS = {0: 5, 1: 40, 2: 7, 3: 1, 4: 30, 5: 5, 6: 90}
ITEMS = [{"label": c, "labeled": True} for c, n in COUNTS.items() for _ in range(n)]


def test_every_class_is_in_one_subset_and_subsets_are_in_order():
    subsets = shot_subsets(ITEMS, 7)
    assert subsets == {"many": [1, 4, 6], "medium": [0, 2], "few": [3, 5]}


def test_hidden_labels_do_not_count():
    hidden = [{"label": 3, "labeled": False}] * 500
    assert shot_subsets(ITEMS + hidden, 7) == shot_subsets(ITEMS, 7)
    assert subset_weights(ITEMS + hidden, {"a": [3], "b": [0]}) == subset_weights(ITEMS, {"a": [3], "b": [0]})


def test_rare_subsets_count_more_and_their_mean_is_one():
    weights = subset_weights(ITEMS, {"many": [6, 4], "few": [3, 5]})
    assert weights["few"] / weights["many"] == pytest.approx((120 / 6) ** 0.5)
    assert sum(weights.values()) == pytest.approx(2)


def test_too_few_classes_or_labels_are_named():
    with pytest.raises(DataError, match="5 classes do not make 3 subsets"):
        shot_subsets(ITEMS, 5)
    with pytest.raises(DataError, match="no label is in rare"):
        subset_weights(ITEMS, {"many": [6], "rare": [9]})
