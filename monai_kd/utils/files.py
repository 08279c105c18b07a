# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.utils.atomic import replacing
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
    except Exception as error:  # a damaged file breaks torch's reader anywhere, with a KeyError as well
        raise CheckpointError(
            "cannot be read as a file of weights",
            where=where,
            why="it is damaged, or holds more than tensors and plain values",
            fix="write it again with torch.save(network.state_dict(), path), or as safetensors",
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"holds a {type(state).__name__}, not weights by name", where=where)
    return state


def write_state(path: str | os.PathLike, state: Mapping[str, Any], previous: str | os.PathLike | None = None) -> None:
    """Write tensors and plain values beside the file and rename it: it is whole, or as it was, even if it is killed.

    Args:
        path: the file; its folder is made if need be.
        state: its content, as from `state_dict()`.
        previous: where the file that was there goes; None keeps none.

    Raises:
        CheckpointWriteError: the disk is full, read-only, or refuses for another reason; the file is as it was.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.utils import read_state, write_state
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> write_state(path, {"weight": torch.ones(1)})
        >>> read_state(path)
        {'weight': tensor([1.])}
    """
    with replacing(path, _size(state), previous) as beside:
        torch.save(state, beside)


def write_torchscript(path: str | os.PathLike, network: nn.Module) -> None:
    """Write `network` in TorchScript, in eval mode on the CPU, beside the file and rename it: whole, or as it was.

    Args:
        path: the file; its folder is made if need be.
        network: what is written; it stays as it is.

    Raises:
        CheckpointWriteError: as `write_state`.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.utils import write_torchscript
        >>> path = tempfile.mkdtemp() + "/model.ts"
        >>> write_torchscript(path, torch.nn.Identity())
        >>> torch.jit.load(path)(torch.ones(1))
        tensor([1.])
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is what MONAI's bundles export
        script = torch.jit.script(copy.deepcopy(network).cpu().eval())
    with replacing(path, _size(network.state_dict())) as beside, beside.open("wb") as file:
        torch.jit.save(script, file)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file beside itself and rename it: it is whole, or as it was. Its folder is made if need be.

    Args:
        path: the file.
        text: its content.

    Raises:
        CheckpointWriteError: as `write_state`.

    Example::

        >>> import tempfile
        >>> from monai_kd.utils import write_text
        >>> path = tempfile.mkdtemp() + "/notes.txt"
        >>> write_text(path, "whole")
        >>> open(path).read()
        'whole'
    """
    with replacing(path, len(text)) as beside:
        beside.write_text(text, encoding="utf-8")


def _size(value: Any) -> int:
    """Bytes of the tensors in `value`."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0


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
