# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The tutorials run from top to bottom, in a small setting; what they show is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tutorials import BLOCK, FIGURES, PAGES, run

NAMES = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "index")


def links(name: str) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (PAGES / f"{name}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_small_and_all_are_shown(name: str) -> None:
    shown = {Path(link).name for link in links(name)}
    assert shown == {figure.name for figure in FIGURES.glob(f"{name}_*")} != set()
    assert all((FIGURES / figure).stat().st_size < 64_000 for figure in shown)


@pytest.mark.parametrize("name", NAMES)
def test_ends_with_the_student_where_monai_kd_is_not_installed(name: str) -> None:
    *_, last = BLOCK.finditer((PAGES / f"{name}.md").read_text(encoding="utf-8"))
    assert last[1] == "bash" and 'sys.modules["monai_kd"] = None' in last[2]


SMALL = {
    "classification": {"CASES": {"training": 24, "validation": 6, "test": 12}, "EPOCHS": 1, "SEEDS": (0,)},
    "segmentation": {"CASES": {"training": 8, "validation": 1, "test": 2}, "EPOCHS": 1, "SEEDS": (0,)},
    "histology": {"EPOCHS": 1, "SEEDS": (0,)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    told = run(name, tmp_path / "clone", SMALL[name], epochs=1)
    blocks = list(BLOCK.finditer((PAGES / f"{name}.md").read_text(encoding="utf-8")))
    assert all(text.strip() for text, block in zip(told, blocks, strict=True) if block[3] is not None)
    assert {figure.name for figure in (tmp_path / "clone").glob(f"{name}_*.svg")} == {Path(x).name for x in links(name)}
