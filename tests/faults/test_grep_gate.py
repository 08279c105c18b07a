# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is never written in what we ship: how pickles, shells and unsafe YAML are let in."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT

UNSAFE = ["weights_only=False", "pickle.load", "yaml.load(", "shell=True", "allow_pickle=True"]
TEXTS = {
    ".cfg",
    ".conf",
    ".css",
    ".html",
    ".ipynb",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
FILES = [
    path
    for folder in ("monai_kd", "bundles", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in TEXTS and path.is_file() and not {"_build", "data", "output"} & set(path.parts[len(ROOT.parts) :])
]


@pytest.mark.parametrize("text", UNSAFE)
def test_is_nowhere(text):
    assert [str(path.relative_to(ROOT)) for path in FILES if text in path.read_text(encoding="utf-8")] == []


def test_the_gate_sees_the_sources():
    assert len(FILES) > 250 and {path.suffix for path in FILES} >= {".md", ".py", ".yaml"}
