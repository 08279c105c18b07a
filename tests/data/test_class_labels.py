# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.data.class_labels import check_num_classes, count_classes
from monai_kd.utils.errors import DataError


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({"0": "benign", "1": "malignant"}, 2),
        ({"1": "malignant", "0": "benign"}, 2),
        (["a", "b", "c"], 3),
        ({"1": "nucleus"}, None),
        ({"0": "a", "2": "c"}, None),
        ({"background": 0, "nucleus": 1}, None),
        ({}, None),
        ("benign, malignant", None),
        (None, None),
    ],
)
def test_only_names_of_every_class_say_how_many_there_are(labels, number):
    assert count_classes({"labels": labels}) == number


@pytest.mark.parametrize("told", [3, 7])
def test_a_number_that_the_names_contradict_is_refused(told):
    content = {"labels": dict.fromkeys("01", "name")}
    what = rf"dataset.json, labels: names 2 classes, num_classes is {told}. give --num_classes 2 to every command"
    with pytest.raises(DataError, match=what):
        check_num_classes(content, told, "dataset.json")
    check_num_classes(content, 2, "dataset.json")
    check_num_classes(content, None, "dataset.json")
    check_num_classes({}, told, "dataset.json")
