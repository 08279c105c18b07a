# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K45: a text of an untrusted header becomes the name of a file below the folder, and nothing else."""

from __future__ import annotations

import os
import random
import re

import pytest

from monai_kd.utils.archives import safe_name

HOSTILE = [
    "../../x",
    "..\\..\\x",
    "/etc/passwd",
    "C:\\Windows\\x",
    "C:x",
    "",
    ".",
    "..",
    "...",
    " ",
    "\x00",
    "a\x00.png",
    "a\nb",
    "\u202egnp.exe",
    "．．／x",
    "∕etc∕passwd",
    "con",
    "NUL.txt",
    "-rf",
    "~",
    ".bashrc",
    "$(id)",
    "a;b|c&d",
    "x" * 1000 + ".nii.gz",
    "名前",
    "SECRET^PATIENT",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_stays_in_the_folder(tmp_path, text):
    name = safe_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name) and name[0] not in ".-"
    (tmp_path / name).write_text("")
    assert os.listdir(tmp_path) == [name]


def test_any_text_at_all(tmp_path):
    draw = random.Random(0)
    for _ in range(2000):
        name = safe_name("".join(chr(draw.choice([*range(0x250), 0x2215, 0xFF0F])) for _ in range(draw.randrange(20))))
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", name) and (tmp_path / name).resolve().parent == tmp_path.resolve()


@pytest.mark.parametrize(
    ("text", "name"), [("T1 axial.dcm", "T1_axial.dcm"), ("case_01.nii.gz", "case_01.nii.gz"), ("a/b/c.png", "c.png")]
)
def test_what_is_right_stays_readable(text, name):
    assert safe_name(text) == name


def test_the_ending_stays_when_a_name_is_cut():
    assert safe_name("x" * 1000 + ".png", longest=20) == "x" * 16 + ".png"
    assert len(safe_name("a." + "x" * 1000)) == 100
