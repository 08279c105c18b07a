# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from monai.networks.nets import resnet10

from monai_kd.networks import load_weights
from monai_kd.recipes import list_recipes

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_python_example_runs_in_fifteen_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["trainer"].state.iteration == 2
    load_weights(resnet10(spatial_dims=2, n_input_channels=1, num_classes=3), tmp_path / "model.pt")


def test_table_lists_recipes() -> None:
    ids = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert ids and set(ids) <= {recipe.id for recipe in list_recipes()}


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links and [link for link in links if not (Path(__file__).parents[1] / link).exists()] == []
