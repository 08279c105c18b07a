# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_kd.utils import ConfigError, suggest

__all__ = ["lay_over", "split"]

_REFERENCE = re.compile(r"@(\w+(?:::\w+)*)")


def lay_over(parser: ConfigParser, layer: Mapping[str, Any], source: str) -> None:
    """Lay keys and values over a configuration by MONAI's rules: `a::b` replaces, `+a::b` merges.

    Args:
        parser: the configuration.
        layer: what is laid over it.
        source: what is said to be wrong: a file, a recipe, the command line.

    Raises:
        ConfigError: a key that cannot be laid over what is below it; says why.

    Example::

        >>> from monai.bundle import ConfigParser
        >>> from monai_kd.recipes.overlay import lay_over
        >>> parser = ConfigParser({"terms": {"kd": {"loss": "@kd_loss"}}})
        >>> lay_over(parser, {"terms::kd::weight": 2}, "mine.yaml")
        >>> lay_over(parser, {"terms::kd::loss::temperature": 2}, "mine.yaml")
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.ConfigError: mine.yaml: cannot set 'terms::kd::loss::temperature'. 'terms::kd::loss' is
        '@kd_loss'. set kd_loss::temperature
    """
    for key, value in layer.items():
        try:
            merge_kv(parser, key, value)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            why, other = _below(parser, split(key))
            why = why or str(error.args[0]).splitlines()[0]
            fix = f"set {'--' if source == 'command line' else ''}{other}" if other else ""
            raise ConfigError(f"cannot set {key!r}", where=source, why=why, fix=fix) from error


def split(key: str) -> list[str]:
    """The parts of a path: of `+terms::kd`, or of `terms#kd` as MONAI once had them.

    Args:
        key: of a layer.
    """
    return key.removeprefix("+").replace("#", "::").split("::")


def _below(parser: ConfigParser, parts: list[str]) -> tuple[str, str]:
    """What is wrong with a path, and the path that is meant, if that is known."""
    depth = next(i for i in range(len(parts), -1, -1) if "::".join(parts[:i]) in parser)
    where, rest = "::".join(parts[:depth]), parts[depth:]
    found = parser[where]
    if not rest:
        return "", ""  # it is there, and what is merged into it does not fit
    if isinstance(found, dict):
        return f"what is below has no {rest[0]}; {suggest(rest[0], map(str, found), 'keys')}", ""
    if isinstance(found, list):
        return f"{where!r} is a list of {len(found)}, counted from 0", ""
    reference = _REFERENCE.fullmatch(found) if isinstance(found, str) else None
    return f"{where!r} is {found!r}", "::".join([reference[1], *rest]) if reference else ""
