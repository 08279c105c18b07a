# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.commands.tally import table


def test_items_are_counted_by_class_and_patients_once():
    parts, labels, groups = ["training", "training", "training", "0"], [0, 1, [1, 1], 1], ["a", "a", "b", "b"]
    lines = table(["0", "training"], parts, labels, groups, ["benign", "malign"])
    assert [line.split() for line in lines] == [
        ["benign", "malign", "items", "patients"],
        ["fold", "0", "0", "1", "1", "1"],
        ["training", "2", "2", "3", "2"],
    ]
    assert len(set(map(len, lines))) == 1  # columns stand below each other
