# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from typing import Any

from monai.bundle import ComponentLocator, ConfigExpression

__all__ = ["foreign", "strings"]

_CLASSES = {"monai", "torch"}
_IMPORTS = {*_CLASSES, "numpy", *sys.stdlib_module_names}


def foreign(config: Any) -> list[str]:
    """Find what in a configuration needs more than MONAI, torch and numpy, so that MONAI alone could not run it.

    Args:
        config: a configuration or a part of one.

    Returns:
        One "key: value" for each target, import or expression that names another package; none if all is well.

    Example::

        >>> from monai_kd.commands.plain import foreign
        >>> foreign({"net": {"_target_": "UNet"}, "loss": {"_target_": "monai_kd.losses.KDLoss"}})
        ['loss::_target_: monai_kd.losses.KDLoss']
    """
    locator = ComponentLocator()
    return [f"{key}: {text}" for key, text in strings(config) if not _is_plain(key, text, locator)]


def strings(config: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield key and text of every string in a configuration."""
    if isinstance(config, str):
        yield key, config
    elif isinstance(config, (dict, list)):
        for name, value in config.items() if isinstance(config, dict) else enumerate(config):
            yield from strings(value, f"{key}::{name}" if key else str(name))


def _is_plain(key: str, text: str, locator: ComponentLocator) -> bool:
    if re.search(r"\bmonai_kd\b", text):
        return False
    if ConfigExpression.is_expression(text):
        return not ConfigExpression.is_import_statement(text) or _imported(text) <= _IMPORTS
    if key.rpartition("::")[2] != "_target_":
        return True
    if "." in text:
        return text.split(".")[0] in _CLASSES
    modules = locator.get_component_module_name(text) or []
    return any(module.startswith("monai.") for module in ([modules] if isinstance(modules, str) else modules))


def _imported(statement: str) -> set[str]:
    node = ast.parse(statement[len(ConfigExpression.prefix) :]).body[0]
    assert isinstance(node, (ast.Import, ast.ImportFrom))
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.split(".")[0] for name in names}
