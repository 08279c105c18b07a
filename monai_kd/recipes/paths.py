# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser

from monai_kd.recipes.keys import EXEMPT
from monai_kd.recipes.overlay import split
from monai_kd.utils import UnknownNameError, suggest
from monai_kd.utils.arguments import check_arguments

__all__ = ["check_paths"]

_REFERENCE = re.compile(r"[@%](\w+(?:::\w+)*)")
_LIBRARIES = {"ignite", "monai", "monai_kd", "torch"}  # nothing else is imported only to look at it
_NO_ARGUMENTS = ConfigComponent.non_arg_keys | {"_debug_"}


def check_paths(base: Mapping[str, Any], overlays: Iterable[Mapping[str, Any]], merged: Mapping[str, Any]) -> None:
    """Refuse a path (`layers::studnet`, `kd_loss::temprature`) to which nobody looks.

    Below a component the key must be an argument of its target. In a plain mapping whose keys are referenced one by one
    (`@layers::student`), and not the whole (`@terms`), a key that was not there must be referenced, too.

    Args:
        base: the configuration below.
        overlays: what was laid over it, in order.
        merged: all of it.

    Raises:
        UnknownNameError: nothing reads the key; names the nearest.

    Example::

        >>> from monai_kd.recipes import check_paths
        >>> base = {"layers": {"student": "fc"}, "tap": "@layers::student"}
        >>> check_paths(base, [{"layers::studnet": "conv"}], {**base, "layers": {"student": "fc", "studnet": "conv"}})
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.UnknownNameError: 'layers::studnet': nothing reads this key. did you mean 'student'? ...
    """
    overlays = list(overlays)
    paths = [path for overlay in overlays for path in _paths(overlay) if len(path) > 1 and path[0] not in EXEMPT]
    if not paths:
        return
    locator = ComponentLocator()
    # of every layer: a key may stay unread where a later one, two_stream.yaml, put another in its place
    read = {name for layer in (base, *overlays) for key in layer for name in _references(key.lstrip("+"), layer[key])}
    for path in paths:
        _check(path, base, merged, read, locator)


def _paths(overlay: Mapping[str, Any]) -> Iterator[list[str]]:
    for key, value in overlay.items():
        merges = key.startswith("+") and isinstance(value, Mapping)
        yield from ([*split(key), str(name)] for name in value) if merges else [split(key)]


def _check(path: list[str], base: Any, node: Any, read: set[str], locator: ComponentLocator) -> None:
    """Walk down the path, with `base` beside as far as it goes."""
    whole = False  # what is here is handed on with all that is in it
    for depth, name in enumerate(path):
        here = "::".join(path[:depth])
        whole = whole or here in read
        if depth and isinstance(node, Mapping) and name in node:
            if "_target_" in node:
                whole = True
                if name not in _NO_ARGUMENTS:
                    check_arguments(_located(node["_target_"], locator), [name], repr("::".join(path)))
            elif not whole and not _has(base, name) and _is_read(here, read) and not _is_read(f"{here}::{name}", read):
                others = [str(key) for key in node if key != name]
                raise UnknownNameError(
                    "nothing reads this key", where=repr("::".join(path)), fix=suggest(name, others, "keys")
                )
        if not _has(node, name):  # a later layer put something else here
            return
        node, base = _in(node, name), _in(base, name) if _has(base, name) else None


def _is_read(path: str, read: set[str]) -> bool:
    """Whether the path, or one within, is referenced."""
    return any(f"{name}::".startswith(f"{path}::") for name in read)


def _has(node: Any, name: str) -> bool:
    return name in node if isinstance(node, Mapping) else isinstance(node, list) and name in map(str, range(len(node)))


def _in(node: Mapping[str, Any] | Sequence[Any], name: str) -> Any:
    return node[name] if isinstance(node, Mapping) else node[int(name)]


def _located(target: Any, locator: ComponentLocator) -> Any:
    """The class or function that a target names, if it is of a library: what a bundle brings is not imported here."""
    if not isinstance(target, str):
        return target
    modules = locator.get_component_module_name(target) if "." not in target else None
    name = target if modules is None else f"{modules if isinstance(modules, str) else modules[0]}.{target}"
    if name.split(".")[0] not in _LIBRARIES:
        return None
    try:
        return pydoc.locate(name)
    except pydoc.ErrorDuringImport:
        return None


def _references(key: str, config: Any) -> Iterator[str]:
    """Every path that a configuration, which is at `key`, refers to."""
    if isinstance(config, (Mapping, list)):
        for name, value in config.items() if isinstance(config, Mapping) else enumerate(config):
            yield from _references(f"{key}::{name}", value)
    elif isinstance(config, str):
        yield from _REFERENCE.findall(ConfigParser.resolve_relative_ids(key, config))
