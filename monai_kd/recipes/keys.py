# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from monai_kd.recipes.overlay import split
from monai_kd.utils import UnknownNameError, suggest

__all__ = ["EXEMPT", "check_keys"]

EXEMPT = {"recipe", "imports", "initialize", "run", "finalize"}
"""Keys that are read though nothing references them: by MONAI, and as what a recipe says of itself."""

_REFERENCE = re.compile(r"[@%][:#]*([A-Za-z_]\w*)")


def check_keys(base: Mapping[str, Any], overlays: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a top-level key that an overlay introduces and nothing reads: a misspelling that MONAI would ignore.

    Args:
        base: the bundle's configuration.
        overlays: recipes and overrides laid over it, in order; their keys may be paths (`terms::kd::weight`) and start
            with `+`.

    Raises:
        UnknownNameError: neither the bundle has the key nor anything references it; names the nearest.

    Example::

        >>> from monai_kd.recipes import check_keys
        >>> check_keys({"max_epochs": 10}, [{"terms::kd": None, "max_epoch": 3}])
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.UnknownNameError: 'terms': ...
    """
    overlays = list(overlays)
    referenced = {name for part in (base, *overlays) for name in _references(part)}
    known = {_top(key) for key in base} | referenced | EXEMPT
    for overlay in overlays:
        for key in overlay:
            top = _top(key)
            if top not in known and not (top.startswith("_") and top.endswith("_")):
                choices = sorted({_top(k) for k in base} | referenced)
                raise UnknownNameError("nothing reads this key", where=repr(top), fix=suggest(top, choices, "keys"))


def _top(key: str) -> str:
    return split(str(key))[0]


def _references(config: Any) -> Iterable[str]:
    if isinstance(config, Mapping):
        for value in config.values():
            yield from _references(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _references(value)
    elif isinstance(config, str):
        yield from _REFERENCE.findall(config)
