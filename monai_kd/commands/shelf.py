# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

__all__ = ["path", "show", "table"]

# Read here and not through monai_kd.recipes, which imports torch and MONAI: seconds for a list.
_FOLDER = Path(__file__).parents[1] / "recipes"
_COLUMNS = ("id", "role", "knowledge", "scheme", "kinds", "paper")


def table(kind: str | None = None) -> str:
    """One line for each recipe: what it is for and where it was published.

    Args:
        kind: only recipes for bundles of this kind; None for all.

    Raises:
        UnknownNameError: no recipe is for this kind; names the nearest.

    Example::

        >>> from monai_kd.commands.shelf import table
        >>> table("classification").splitlines()[0].split()
        ['id', 'role', 'knowledge', 'scheme', 'kinds', 'paper']
    """
    infos = [_config(file)["recipe"] for file in sorted(_FOLDER.glob("*.yaml"))]
    if kind is not None:
        kinds = sorted({k for info in infos for k in info["kinds"]})
        if kind not in kinds:
            from monai_kd.utils.errors import UnknownNameError, suggest

            raise UnknownNameError(f"no recipe is for bundles of kind {kind!r}", fix=suggest(kind, kinds, "kinds"))
        infos = [info for info in infos if kind in info["kinds"]]
    rows = [_COLUMNS, *(tuple(_cell(info[column]) for column in _COLUMNS) for info in infos)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def show(name: str) -> str:
    """A recipe's file after two comments that say where it and its paper are: still a recipe, if it is saved.

    Args:
        name: an id or the path of a YAML file.
    """
    file = Path(path(name))
    doi = _config(file).get("recipe", {}).get("doi")
    head = [f"# {file}"] + ([f"# https://doi.org/{doi}"] if doi else [])
    return "\n".join([*head, file.read_text(encoding="utf-8").rstrip()])


def path(name: str) -> str:
    """Where a recipe's file is.

    Args:
        name: an id or the path of a YAML file.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    file = _FOLDER / f"{name}.yaml"
    if file.parent == _FOLDER and file.is_file():
        return str(file)
    from monai_kd.recipes import load_recipe

    return str(load_recipe(name).path)


def _config(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
