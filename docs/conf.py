# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""How sphinx builds the documentation: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

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


sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from tables import recipe_table, result_tables  # noqa: E402

myst_substitutions = {"recipe_table": recipe_table(), "result_tables": result_tables()}


# What a docstring holds besides prose: roles, literals and examples (group 1), or `code` as Markdown has it (group 2)
SPAN = re.compile(r"(:[a-z:]+:`[^`]+`|``[^`]+``|^ *(?:>>>|\.\.\.) .*$)|`([^`\n]+(?:\n[^`\n]+)?)`|(?<=, )\*(?=\w)", re.M)


def as_rst(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mend what our docstrings share with Markdown and reStructuredText reads otherwise: `Teacher`s, [N, *spatial]."""
    tick = "``" if what == "property" else "`"  # napoleon takes a property's `a: b` for its type
    text = SPAN.sub(lambda m: m[1] or (f"{tick}{m[2]}{tick}" if m[2] else r"\*"), "\n".join(lines))
    lines[:] = re.sub(r"(?<=\w`)(?=\w)", r"\\ ", text).split("\n")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", as_rst, priority=100)  # before napoleon, which splits at colons
