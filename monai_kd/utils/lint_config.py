# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Does a configuration hold more than MONAI's words? It is read, never run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import monai.data
from monai.bundle import ConfigParser

from monai_kd.utils.lint_expression import import_of, lint_expression, lint_import
from monai_kd.utils.lint_lists import CODE_KEYS, DOWNLOAD_KEYS
from monai_kd.utils.lint_names import downloads, monai_names, name_problem, takes_code
from monai_kd.utils.lint_output import writes_outside
from monai_kd.utils.lint_tree import IMPORTING, Names, reference_problem

__all__ = ["Finding", "imported_names", "lint_config"]

_MOST, _DEEPEST = 100_000, 100
_BACKENDS = {"cucim", "openslide", "tifffile"}
_DATA = ("cfg", "csv", "dcm", "gz", "jpg", "json", "npz", "onnx", "png", "pt", "py", "safetensors", "ts", "txt", "yaml")


class Finding(NamedTuple):
    """What is wrong with a file of a bundle, and where."""

    level: str
    """`error`, `warning` or `note`."""
    file: str
    key: str
    """Where in the file; empty if it is the file itself."""
    what: str
    fix: str = ""


def lint_config(config: Any, file: str, names: Names | None = None, outputs: bool = True) -> list[Finding]:
    """Say where a configuration could do more than build MONAI's, torch's and our parts; nothing of it is run.

    Args:
        config: what was read of the file.
        file: what the findings call it.
        names: what each imported name stands for, of the other files of the bundle; see :func:`imported_names`.
        outputs: whether it may write nowhere but in the bundle, as far as that can be seen.

    Example::

        >>> from monai_kd.utils.lint_config import lint_config
        >>> lint_config({"loss": {"_target_": "DiceLoss"}, "n": "$@m + 1"}, "train.yaml")
        []
        >>> lint_config({"run": {"_target_": "os.system", "command": "id"}}, "train.yaml")[0].key
        'run::_target_'
    """
    known = {**(names or {})}
    for name, targets in imported_names(config).items():
        known[name] = known.get(name, set()) | targets
    linter = _Walk(file, known, config if outputs else None)
    linter.walk(config, ())
    return linter.findings


def imported_names(config: Any) -> dict[str, set[str]]:
    """What each name stands for that a configuration's import statements give, wherever they are."""
    found: dict[str, set[str]] = {}
    for text in _strings(config):
        node = import_of(text) if text.startswith("$") else None
        for name, dotted in lint_import(node)[1].items() if node else ():
            found.setdefault(name, set()).add(dotted)
    return found


def _strings(config: Any) -> Iterator[str]:
    waiting, seen = [(config, 0)], 0
    while waiting and seen < _MOST:
        item, depth = waiting.pop()
        seen += 1
        if isinstance(item, str):
            yield item
        elif isinstance(item, (dict, list)) and depth < _DEEPEST:
            waiting += [(value, depth + 1) for value in (item.values() if isinstance(item, dict) else item)]


class _Walk:
    def __init__(self, file: str, names: Names, whole: Any) -> None:
        self.file, self.names, self.whole, self.findings, self.seen = file, names, whole, list[Finding](), 0

    def report(self, path: tuple[str, ...], what: str, fix: str = "") -> None:
        self.findings.append(Finding("error", self.file, "::".join(path), what, fix))

    def walk(self, config: Any, path: tuple[str, ...]) -> None:
        self.seen += 1
        if self.seen > _MOST or len(path) > _DEEPEST:
            if self.seen <= _MOST or self.seen == _MOST + 1:
                self.report(path[:5], "is nested too deep or repeats itself")
            self.seen = _MOST + 1
        elif isinstance(config, dict):
            self._pairs(config, path)
        elif isinstance(config, list):
            for index, value in enumerate(config):
                self.walk(value, (*path, str(index)))
        elif isinstance(config, str):
            self._text(config, path)

    def _pairs(self, config: dict[Any, Any], path: tuple[str, ...]) -> None:
        for name, value in config.items():
            key = re.split("::|#", str(name))[-1].lstrip("+~")
            here = (*path, str(name))
            if key == "_target_":
                self._target(value, here, config)
            elif key == "_debug_" or (key == "_mode_" and value not in ("default", "callable")):
                self.report(here, "starts a debugger, or may", "take it out")
            elif key == "_mode_" and value == "callable" and not (name == key and "_target_" in config):
                self.report(here, "changes how another file's target is used", "write both together")
            elif key in CODE_KEYS and not _is_harmless(key, value):
                self.report(here, "may import code or unpickle", "name a class of MONAI's, or take it out")
            elif key in DOWNLOAD_KEYS and not _fetches_nothing(key, value):
                self.report(here, "may fetch weights", f"{key}: false, and the weights in models/")
            elif key == "weights" and isinstance(value, str) and value[:1] not in ("@", "$", "%"):
                self.report(here, "names weights that torchvision fetches", "give a file of models/ to a loader")
            elif self.whole is not None and writes_outside(key, value, config.get("_target_"), self.whole):
                self.report(here, f"writes outside the bundle, {value!r}", "$@bundle_root + '/output'")
            else:
                self.walk(value, here)

    def _target(self, target: Any, path: tuple[str, ...], config: dict[Any, Any]) -> None:
        if not isinstance(target, str) or target.startswith(("@", "%")):
            self.report(path, "is a target that is not written out", "name the class")
        elif target.startswith("$"):
            self._text(target, path)
            if not re.fullmatch(r"\$\s*[A-Za-z]\w*(\.\w+)+\s*", target):
                self.report(path, "is a target that is computed", "name the class")
        elif target.split(".")[0] == "scripts":
            self.report(path, f"runs the bundle's own code, {target!r}", "read scripts/ before you trust it")
        else:
            names = [target] if "." in target else monai_names(target)
            problems = [name_problem(name) for name in names] or [f"{target!r} is nothing that MONAI has"]
            if target != "torch.jit.load" and any(problems):
                self.report(path, next(filter(None, problems)), "name a class of MONAI, torch, ignite or monai_kd")
            elif any(map(takes_code, names)) and (
                config.get("_mode_", "default") != "default" or path[-1] != "_target_" or path[-2:][0].startswith("+")
            ):  # as a function, an expression could give it a name that nobody sees here
                self.report(path, f"hands on {target!r}, which can import or fetch", "build it here, all of it")
            elif problem := next(filter(None, (downloads(name, config) for name in names)), ""):
                self.report(path, problem, "pretrained: false, and the weights in models/")

    def _text(self, text: str, path: tuple[str, ...]) -> None:
        relative = text.startswith(("$", "@")) and re.search("[@%](#|::)", text)
        if relative or text.startswith("%"):  # MONAI writes the path of keys into the text
            if not all(re.fullmatch(r"\w*", part) for key in path for part in re.split("::|#", key.lstrip("+~"))):
                self.report(path, "refers relatively, or copies, below a key that is no name", "rename the key")
                return
            text = ConfigParser.resolve_relative_ids("::".join(path), text)
        if text.startswith("%"):
            self._macro(text, path)
        elif problem := reference_problem(text):
            self.report(path, problem, "use the module's name")
        elif not text.startswith("$"):
            if _names_standard_library(text):
                self.report(path, f"names {text!r}, which MONAI could import", "name a class of MONAI's")
        elif node := import_of(text):
            if re.split("::|#", "::".join(path))[0].lstrip("+~") not in IMPORTING:
                self.report(path, "imports outside of `imports` and `initialize`", "move it there")
            for problem in lint_import(node)[0]:
                self.report(path, problem, "import MONAI, torch, numpy, ignite or monai_kd")
        else:
            for problem in lint_expression(text, self.names):
                self.report(path, problem, "write it without")

    def _macro(self, text: str, path: tuple[str, ...]) -> None:
        file, key = ConfigParser.split_path_id(text[1:])
        if file or not key or not IMPORTING.isdisjoint(re.split("::|#", key)):
            self.report(path, "copies from another file, or an import", "write the value itself there")


def _is_harmless(key: str, value: Any) -> bool:
    if key in ("weights_only", "allow_pickle"):
        return value is (key == "weights_only")
    if isinstance(value, list):
        return all(_is_harmless(key, item) for item in value)
    if value is None or not isinstance(value, str):
        return value is None
    if re.fullmatch(rf"@(\w+::)*{key}", value):
        return True  # what is there has been looked at
    if written := re.fullmatch(r"\$\s*(monai(\.\w+)+)\s*", value):
        return not name_problem(written[1])
    known = {name.lower() for name in dir(monai.data) if name.endswith(("Reader", "Writer"))}
    return value.lower() in known | _BACKENDS or any(not name_problem(name) for name in monai_names(value))


def _fetches_nothing(key: str, value: Any) -> bool:
    return value is None or value is False or bool(re.fullmatch(rf"@(\w+::)*{key}", str(value)))


def _names_standard_library(text: str) -> bool:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", text) or text.split(".")[-1].lower() in _DATA:
        return False
    return text.split(".")[0] in {"scripts", *sys.stdlib_module_names}
