# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.commands.reached import reached


def test_follows_references_from_where_monai_starts():
    config = {
        "initialize": ["$@seed"],
        "run": ["$@train::trainer.run()"],
        "train": {"trainer": {"network": "@network", "bound": "@train::epochs"}, "epochs": "@max", "other": "@unused"},
        "network": "$make(@width, @depth)",
        **dict.fromkeys(("seed", "max", "width", "depth", "unused", "teacher_checkpoint"), 1),
    }
    assert reached(config) == {"initialize", "run", "train", "network", "seed", "max", "width", "depth"}


def test_a_relative_reference_and_a_circle_end():
    config = {"run": "@a::b", "a": {"b": "@#c", "c": "@d"}, "d": "@a::b", "e": "@d"}
    assert reached(config) == {"run", "a", "d"}
    assert reached({"run": "$print(@nothing)"}) == {"run"}


def test_starts_where_it_is_told():
    assert reached({"run": "@a", "check": "@b", "a": 1, "b": 2}, start=("check",)) == {"check", "b"}
