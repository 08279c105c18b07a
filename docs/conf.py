# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""How sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from sphinx.application import Sphinx

import monai_kd

project = "monai_kd"
author = "monai_kd contributors"
copyright = author
release = version = monai_kd.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"
html_theme = "furo"
html_title = f"monai_kd {release}"

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
myst_enable_extensions = ["colon_fence", "substitution"]
myst_heading_anchors = 3


def recipe_table() -> str:
    """Write one row for every recipe from the `recipe:` block that its file starts with."""
    rows = ["| id | method | role | knowledge | tasks |", "|---|---|---|---|---|"]
    for file in sorted((Path(monai_kd.__file__).parent / "recipes").glob("*.yaml")):
        recipe = yaml.safe_load(file.read_text())["recipe"]
        paper = f"[{recipe['paper']}](https://doi.org/{recipe['doi']})" if recipe.get("doi") else recipe["paper"]
        method, kinds = f"{recipe['title']}. {paper}", ", ".join(recipe["kinds"])
        rows.append(f"| `{recipe['id']}` | {method} | {recipe['role']} | {recipe['knowledge']} | {kinds} |")
    return "\n".join(rows)


myst_substitutions = {"recipe_table": recipe_table()}


# What a docstring holds besides prose: roles, literals and examples (group 1), or `code` as Markdown has it (group 2)
SPAN = re.compile(r"(:[a-z:]+:`[^`]+`|``[^`]+``|^ *(?:>>>|\.\.\.) .*$)|`([^`\n]+(?:\n[^`\n]+)?)`|(?<=, )\*(?=\w)", re.M)


def as_rst(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mend what our docstrings share with Markdown and reStructuredText reads otherwise: `Teacher`s, [N, *spatial]."""
    tick = "``" if what == "property" else "`"  # napoleon takes a property's `a: b` for its type
    text = SPAN.sub(lambda m: m[1] or (f"{tick}{m[2]}{tick}" if m[2] else r"\*"), "\n".join(lines))
    lines[:] = re.sub(r"(?<=\w`)(?=\w)", r"\\ ", text).split("\n")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", as_rst, priority=100)  # before napoleon, which splits at colons
