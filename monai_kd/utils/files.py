# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from monai_kd.utils.errors import CheckpointError, DataError

__all__ = ["read_json", "read_state", "write_state", "write_text", "write_torchscript"]


def read_state(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of tensors and plain values (`.pt`, `.safetensors`); nothing in it is executed.

    Args:
        path: the file.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it holds something else.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.utils import read_state
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> torch.save({"weight": torch.ones(1)}, path)
        >>> read_state(path)
        {'weight': tensor([1.])}
    """
    where = str(path)
    if not os.path.isfile(path):
        raise CheckpointError("no such file", where=where)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            "cannot be read as a file of weights",
            where=where,
            why="it is damaged, or holds more than tensors and plain values",
            fix="write it again with torch.save(network.state_dict(), path), or as safetensors",
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"holds a {type(state).__name__}, not weights by name", where=where)
    return state


def write_state(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values beside the file and rename it: it is whole, or as it was.

    Args:
        path: the file; its folder is made if need be.
        state: its content, as from `state_dict()`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_torchscript(path: str | os.PathLike, network: nn.Module) -> None:
    """Write `network` in TorchScript, in eval mode on the CPU, beside the file and rename it: whole, or as it was.

    Args:
        path: the file; its folder is made if need be.
        network: what is written; it stays as it is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is what MONAI's bundles export
        script = torch.jit.script(copy.deepcopy(network).cpu().eval())
    try:
        torch.jit.save(script, str(temporary))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file beside itself and rename it: it is whole, or as it was. Its folder is made if need be.

    Args:
        path: the file.
        text: its content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        path: the file.

    Raises:
        DataError: it is not JSON, or holds something else; names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError("is not JSON", where=str(path), why=str(error)) from error
    if not isinstance(content, Mapping):
        raise DataError(f"must hold a mapping, got {type(content).__name__}", where=str(path))
    return content
