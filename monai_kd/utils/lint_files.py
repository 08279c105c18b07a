# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a file that came with a bundle what its name says, and no program? It is looked at, never run."""

from __future__ import annotations

import ast
import configparser
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd.utils.checksums import check_sum, sum_beside
from monai_kd.utils.errors import CheckpointError
from monai_kd.utils.files import read_state
from monai_kd.utils.lint_config import Finding
from monai_kd.utils.lint_output import leads_outside

__all__ = ["lint_file", "lint_logging"]

_HANDLERS = {"FileHandler", "NullHandler", "StreamHandler", "RotatingFileHandler", "TimedRotatingFileHandler"}
_CLASSES = {*_HANDLERS, *(f"logging.{name}" for name in _HANDLERS), *(f"handlers.{name}" for name in _HANDLERS)}
_CLASSES |= {*(f"logging.handlers.{name}" for name in _HANDLERS), "logging.Formatter", "Formatter"}
_PICKLES = {".dill", ".joblib", ".mar", ".p", ".pickle", ".pkl"}
_COMPILED = {".dll", ".dylib", ".egg", ".pt2", ".pyc", ".pyd", ".so", ".whl"}
_CODE = {".bat", ".ipynb", ".js", ".ps1", ".py", ".pyw", ".sh"}


def lint_file(path: Path, file: str) -> list[Finding]:
    """Say what is wrong with a file of a bundle that is no configuration, judged by how its name ends.

    Args:
        path: the file.
        file: what the findings call it.
    """
    check = {
        **dict.fromkeys((".ckpt", ".pt", ".pth"), _weights),
        **dict.fromkeys((".cfg", ".conf", ".ini"), lint_logging),
        **dict.fromkeys((".npy", ".npz"), _arrays),
        **dict.fromkeys(_PICKLES, _pickle),
        **dict.fromkeys(_COMPILED, _compiled),
        **dict.fromkeys(_CODE, _code),
        ".safetensors": _checksum,
        ".ts": _torchscript,
    }.get(path.suffix.lower())
    return check(path, file) if check else []


def lint_logging(path: Path, file: str) -> list[Finding]:
    """Say what of a logging configuration Python would run: it evaluates classes and arguments as they are written.

    Args:
        path: the file.
        file: what the findings call it.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, ValueError) as error:
        return [Finding("error", file, "", "cannot be read as a logging configuration", type(error).__name__)]
    findings = []
    for section in parser.sections():
        fields = dict(parser.items(section))
        if not _is_known_class(fields.get("class", "")):
            findings.append(Finding("error", file, f"{section}::class", "is no handler of logging", "StreamHandler"))
        for key in ("args", "kwargs", "defaults"):
            if key in fields and not _is_literal(fields[key]):
                what = "holds more than plain values, or a path outside the bundle"
                findings.append(Finding("error", file, f"{section}::{key}", what, "(sys.stdout,)"))
    return findings


def _is_known_class(text: str) -> bool:
    return text.strip() in {*_CLASSES, ""}


def _is_literal(text: str) -> bool:
    try:
        value = ast.literal_eval(re.sub(r"\bsys\.(stdout|stderr)\b", "None", text.strip()) or "None")
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return False
    return "%(" not in text and not any(map(leads_outside, _texts(value)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set)):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _weights(path: Path, file: str) -> list[Finding]:
    if changed := _changed(path, file):
        return changed
    if _is_torchscript(path):
        return _torchscript(path, file)
    fix = "ask for safetensors, or convert it where nothing is lost: in a container without network"
    try:
        read_state(path)
    except CheckpointError as error:
        return [Finding("error", file, "", ". ".join(filter(None, (error.what, error.why))), fix)]
    except Exception as error:  # a file made to break a reader may break it anyhow
        return [Finding("error", file, "", f"cannot be read: {type(error).__name__}", fix)]
    return []


def _torchscript(path: Path, file: str) -> list[Finding]:
    if not _is_torchscript(path):
        return [Finding("error", file, "", "is no TorchScript", "export it again")]
    return [Finding("note", file, "", "is TorchScript: torch runs the network's code, and no Python")]


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def _arrays(path: Path, file: str) -> list[Finding]:
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as opened:
                objects = _holds_objects(opened)
        else:
            with zipfile.ZipFile(path) as archive:
                objects = any(_holds_objects(archive.open(name)) for name in archive.namelist())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        return [Finding("error", file, "", "cannot be read as arrays of numbers", type(error).__name__)]
    return [Finding("error", file, "", "holds Python objects, a pickle", "ask for plain arrays")] if objects else []


def _holds_objects(opened: Any) -> bool:
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return bool(read(opened)[2].hasobject)


def _checksum(path: Path, file: str) -> list[Finding]:
    if not sum_beside(path).is_file():
        return [Finding("warning", file, "", "has no checksum beside it", f"ask for {sum_beside(path).name}")]
    return _changed(path, file)


def _changed(path: Path, file: str) -> list[Finding]:
    try:
        check_sum(path)
    except CheckpointError as error:
        return [Finding("error", file, "", error.what, "fetch it again")]
    return []


def _pickle(path: Path, file: str) -> list[Finding]:
    return [Finding("error", file, "", "is a pickle, which runs code when it is read", "ask for safetensors or JSON")]


def _compiled(path: Path, file: str) -> list[Finding]:
    if path.parent.name == "__pycache__":
        return [Finding("warning", file, "", "is compiled code that Python may take for its source", "delete it")]
    return [Finding("error", file, "", "is compiled code, which nobody can read", "ask for its source or for weights")]


def _code(path: Path, file: str) -> list[Finding]:
    if path.name.lower() == "hubconf.py":
        return [Finding("error", file, "", "is code that torch.hub runs", "delete it")]
    if file.split("/")[0] != "scripts":  # Python may import it by its name, as a package that is not installed
        return [Finding("error", file, "", "is code outside of scripts/", "read it, then move it there or delete it")]
    return [Finding("warning", file, "", "is code", "read it before you run it")]
