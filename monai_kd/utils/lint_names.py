# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""May a configuration use what has this name? The lists say, and the libraries' own modules."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from monai.bundle import ComponentLocator

from monai_kd.utils.lint_lists import (
    ALLOWED,
    ATTRIBUTES,
    CODE_KEYS,
    CUDA,
    DISTRIBUTED,
    DOWNLOAD_KEYS,
    LIBRARIES,
    MODULES,
    NUMPY,
    NUMPY_REFUSED,
    REFUSED,
    STANDARD,
    TORCH,
)

__all__ = ["attribute_problem", "downloads", "monai_names", "name_problem", "takes_code"]


def attribute_problem(name: str) -> str:
    """Say why an attribute may not be read, of whatever it is; empty if it may.

    Args:
        name: the attribute.

    Example::

        >>> from monai_kd.utils.lint_names import attribute_problem
        >>> attribute_problem("shape"), attribute_problem("__class__")
        ('', "reads '__class__', which is private")
    """
    if name.startswith("_") and name != "__cause__":
        return f"reads {name!r}, which is private"
    return f"reads {name!r}, which can write files or reach code" if name in ATTRIBUTES else ""


def name_problem(dotted: str, module: bool = False) -> str:
    """Say why a configuration may not name this; empty if it may.

    The library's own modules are looked into, so that what they merely import is known for what it is; nothing of the
    bundle is.

    Args:
        dotted: the whole name.
        module: whether a module will do, as it does for an import.

    Example::

        >>> from monai_kd.utils.lint_names import name_problem
        >>> name_problem("torch.nn.Linear")
        ''
        >>> name_problem("monai.data.utils.os.system")
        "'monai.data.utils.os' is the module 'os', not the library's own"
    """
    root, *rest = dotted.split(".")
    if any(not part.isidentifier() for part in (root, *rest)):
        return f"{dotted!r} is no name"
    if root not in LIBRARIES:
        return _standard_problem(dotted, module)
    where, found = root, _module(root)
    for index, part in enumerate(rest):
        path = ".".join([root, *rest[: index + 1]])
        owner, found = found, None if part.startswith("_") else _member(found, part)
        if found is None:
            return attribute_problem(part) or f"there is no {path!r} here"
        if isinstance(found, ModuleType):
            if found.__name__.split(".")[0] not in LIBRARIES:
                return f"{path!r} is the module {found.__name__!r}, not the library's own"
        else:
            where = f"{owner.__module__}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
            where = f"{where}.{part}"
            if problem := next(filter(None, map(attribute_problem, rest[index:])), ""):
                return problem
            if not isinstance(found, type):
                break
    if isinstance(found, ModuleType):
        return "" if module else f"hands on {dotted!r}, a module"
    return "" if _is_allowed(found, where) else f"{dotted!r} is not on the list of what a bundle may use"


def takes_code(dotted: str) -> list[str]:
    """The arguments of `CODE_KEYS` and `DOWNLOAD_KEYS` that what has this name takes; ours import nothing by them."""
    return [] if dotted.startswith("monai_kd.") else sorted((CODE_KEYS | DOWNLOAD_KEYS) & set(_parameters(dotted)))


def downloads(dotted: str, given: Mapping[str, Any]) -> str:
    """Say why what has this name would fetch weights with these arguments, or without one; empty if it would not.

    Example::

        >>> from monai_kd.utils.lint_names import downloads
        >>> downloads("monai.networks.nets.EfficientNetBN", {"model_name": "efficientnet-b0"})
        "fetches weights unless 'pretrained' is false"
        >>> downloads("monai.networks.nets.EfficientNetBN", {"pretrained": False})
        ''
    """
    parameters = _parameters(dotted)
    for key in sorted(DOWNLOAD_KEYS & set(parameters) - set(given)):
        default = parameters[key].default
        if default and default is not inspect.Parameter.empty:
            return f"fetches weights unless {key!r} is false"
    fetched = "TorchVisionFCModel" in dotted and given.get("weights") is not None
    return "fetches the weights that it names" if fetched else ""


def _parameters(dotted: str) -> Mapping[str, inspect.Parameter]:
    found: Any = _module(dotted.split(".")[0])
    for part in dotted.split(".")[1:]:
        found = _member(found, part)
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):
        return {}


def monai_names(short: str) -> list[str]:
    """The full names of what MONAI finds by a name without dots; none if it finds nothing."""
    modules = _locator().get_component_module_name(short) or []
    return [f"{module}.{short}" for module in ([modules] if isinstance(modules, str) else modules)]


@functools.cache
def _locator() -> ComponentLocator:
    return ComponentLocator()


def _module(name: str) -> Any:
    return sys.modules[name] if name in sys.modules else importlib.import_module(name)


def _member(owner: Any, name: str) -> Any:
    """An attribute, or a module of an allowed package that nobody has imported yet."""
    try:
        return getattr(owner, name)
    except Exception:  # a lazy module of a package that is not installed may raise anything
        path = f"{getattr(owner, '__name__', '')}.{name}"
        if not isinstance(owner, ModuleType) or not _below(path, ALLOWED) or not hasattr(owner, "__path__"):
            return None
    try:
        return importlib.import_module(path)
    except ImportError:
        return None


def _is_allowed(found: Any, where: str) -> bool:
    name = getattr(found, "__name__", None)
    home = getattr(found, "__module__", None) if name else None
    path = f"{home}.{name}" if home else where
    package, _, last = path.rpartition(".")
    if package == "torch":
        plain = isinstance(found, (torch.dtype, torch.layout, torch.memory_format, float))
        return plain or last in TORCH or (last in dir(torch._C._VariableFunctions) and last != "from_file")
    if path.startswith("torch.cuda.") and not _below(path, ALLOWED):
        return last in CUDA
    if path.startswith("torch.distributed."):
        return last in DISTRIBUTED
    if path.startswith("numpy."):
        return package.removeprefix("numpy").strip(".").split(".")[0] in NUMPY and last not in NUMPY_REFUSED
    return _below(path, ALLOWED) and not path.startswith(REFUSED)


def _below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


def _standard_problem(dotted: str, module: bool) -> str:
    if dotted in MODULES:
        return "" if module else f"hands on {dotted!r}, a module"
    for home, names in STANDARD.items():
        if dotted.startswith(f"{home}."):
            first, *rest = dotted[len(home) + 1 :].split(".")
            if first in names:
                return next((problem for part in rest if (problem := attribute_problem(part))), "")
    return f"{dotted!r} is not on the list of what a bundle may use"
