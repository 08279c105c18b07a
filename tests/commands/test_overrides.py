# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex

import pytest
from fire import Fire

from monai_kd.commands.overrides import read_overrides, set_apart, typed
from monai_kd.utils.errors import ConfigError

WORDS = [
    ("--lr 1e-3", {"lr": 1e-3}),
    ("--a::b#c=-0.5", {"a::b#c": -0.5}),
    ("--device cpu --amp", {"device": "cpu", "amp": True}),
    ("--views '[image, image_2]'", {"views": ["image", "image_2"]}),
    ("--terms::x \"{'loss': '@kd_loss', 'weight': 2}\"", {"terms::x": {"loss": "@kd_loss", "weight": 2}}),
    ("--path '$@bundle_root + \"/x\"'", {"path": '$@bundle_root + "/x"'}),
    ("--name \"'3'\"", {"name": "3"}),
    ("--teacher None", {"teacher": None}),
    ("", {}),
]


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_reads_what_fire_reads(line, expected):
    read = read_overrides(shlex.split(line))
    assert read == expected
    direct = {}
    Fire(lambda **given: direct.update(given), command=shlex.split(line))  # as `python -m monai.bundle run` reads it
    assert direct == read


@pytest.mark.parametrize("given", [given for _, given in WORDS])
def test_what_is_typed_is_read_again(given):
    line = " ".join(typed(key, value) for key, value in given.items())
    assert read_overrides(shlex.split(line)) == given


def test_a_word_without_a_key_is_refused():
    with pytest.raises(ConfigError, match=r"'image_2\]' belongs to no --key"):
        read_overrides(["--views", "[image,", "image_2]"])


@pytest.mark.parametrize("word", ["true", "false"])
def test_words_that_are_no_python_are_refused_since_any_text_is_true(word):
    with pytest.raises(ConfigError, match=f"--resume: {word} is text here.*write True or False"):
        read_overrides(["--resume", word])


@pytest.mark.parametrize(
    ("line", "own", "over"),
    [
        ("kd --max_epochs 2 OUT --trust", "kd OUT --trust", "--max_epochs 2"),
        ("--bundle DIR --a::b -1 kd --c=3 OUT", "--bundle DIR kd OUT", "--a::b -1 --c=3"),
        ("kd OUT --amp --bundle=DIR", "kd OUT --bundle=DIR", "--amp"),
        ("-h kd --resume True --amp", "-h kd", "--resume True --amp"),
    ],
)
def test_overrides_may_stand_anywhere(line, own, over):
    assert set_apart(line.split(), {"--bundle": True, "--trust": False}) == (own.split(), over.split())
