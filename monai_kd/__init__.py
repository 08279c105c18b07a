# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Knowledge distillation for MONAI: passes, terms, one trainer, and published methods as recipes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data, engines, handlers, inferers, losses, metrics, networks, recipes, report, transforms, utils
    from .engines import trainable
    from .recipes import load_recipe

__version__ = "0.1.0"

_PARTS = {*"data engines handlers inferers losses metrics networks recipes report transforms utils".split()}
_SHORT = {"load_recipe": "recipes", "trainable": "engines"}


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for: `monai-kd list` need not wait for torch and MONAI."""
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _SHORT:
        return getattr(importlib.import_module(f"{__name__}.{_SHORT[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS, *_SHORT})
