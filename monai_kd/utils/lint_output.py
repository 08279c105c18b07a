# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Would a configuration write outside its bundle? Its texts and the beginnings of its expressions are looked at."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from monai.bundle import ReferenceResolver

__all__ = ["leads_outside", "writes_outside"]

_WRITTEN = {"cache_dir", "dirname", "filename", "key_metric_filename", "log_dir", "mapping_file_path"}
_WRITTEN |= {"output_dir", "save_dir", "torchscript"}
_WRITTEN_BY = {"FinalModelSaver": "path", "ValidationScore": "path"}


def leads_outside(text: str) -> bool:
    """Whether a path is absolute, somebody's home, or goes up."""
    return text.startswith(("/", "~", "\\")) or ":" in text[:2] or ".." in re.split(r"[/\\]", text)


def writes_outside(key: str, value: Any, target: Any, config: Any) -> bool:
    """Whether an argument that names what is written leads out of the bundle.

    Args:
        key: the argument.
        value: what the configuration gives it.
        target: of what it is an argument, if that is known.
        config: the whole configuration, in which a reference is followed.

    Example::

        >>> from monai_kd.utils.lint_output import writes_outside
        >>> config = {"here": "$@bundle_root + '/eval'", "there": "/etc"}
        >>> [writes_outside("output_dir", f"@{name}", None, config) for name in config]
        [False, True]
    """
    if key not in _WRITTEN and _WRITTEN_BY.get(str(target).rpartition(".")[2]) != key:
        return False
    for _ in range(10):
        if not (isinstance(value, str) and re.fullmatch(r"@\w+((::|#)\w+)*", value)):
            break
        value = _at(config, re.split("::|#", value[1:]))
    if not isinstance(value, str):
        return False
    return _expression_leads_outside(value) if value.startswith("$") else leads_outside(value)


def _at(config: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(config, list) and key.isdecimal() and int(key) < len(config):
            config = config[int(key)]
        else:
            config = config.get(key) if isinstance(config, dict) else None
    return config


def _expression_leads_outside(text: str) -> bool:
    source = ReferenceResolver.update_refs_pattern(text, ReferenceResolver.match_refs_pattern(text))[1:]
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # told where expressions are looked at
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return any(".." in re.split(r"[/\\]", text) for text in texts) or any(map(leads_outside, _beginnings(tree)))


def _beginnings(node: ast.AST) -> Iterator[str]:
    """Texts with which the path may begin."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.BinOp):
        for part in (node.left, node.right) if isinstance(node.op, ast.Div) else (node.left,):
            yield from _beginnings(part)
    elif isinstance(node, ast.JoinedStr):
        yield from _beginnings(node.values[0]) if node.values else ()
    elif isinstance(node, ast.IfExp):
        yield from (*_beginnings(node.body), *_beginnings(node.orelse))
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) or getattr(node.func, "attr", "") in ("Path", "join", "joinpath"):
            for part in node.args:
                yield from _beginnings(part)
