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

import safetensors.torch
import torch
from torch import Tensor, nn

from monai_kd.utils.atomic import replacing
from monai_kd.utils.checksums import check_sum, file_sha256, sum_beside, write_sums
from monai_kd.utils.errors import CheckpointError, DataError

__all__ = ["beside", "read_json", "read_state", "write_state", "write_text", "write_torchscript"]


_WEIGHTS = {".pt", ".pth", ".ckpt", ".safetensors"}


def beside(path: str | os.PathLike, ending: str) -> Path:
    """Name a file that belongs to a file of weights, in the same folder: `model.pt` and `.cases.json` to
    `model.cases.json`.

    Args:
        path: the weights. Only an ending of such files is taken off: `kd_0.1` is a name.
        ending: of the other file.

    Example::

        >>> from monai_kd.utils import beside
        >>> str(beside("models/model.pt", ".score.json")), str(beside("kd_0.1", ".score.json"))
        ('models/model.score.json', 'kd_0.1.score.json')
    """
    path = Path(path)
    return path.with_name((path.stem if path.suffix.lower() in _WEIGHTS else path.name) + ending)


def read_state(path: str | os.PathLike) -> dict[str, Any]:
    """Read a file of tensors and plain values (`.pt`, `.safetensors`); nothing in it is executed.

    A `.safetensors` file is read only with its checksum beside it, `NAME.sha256` as `sha256sum NAME` prints it. Any
    other file is compared with such a checksum if there is one.

    Args:
        path: the file.

    Raises:
        CheckpointError: there is no such file, it is damaged, it is not what its checksum says, or it holds something
            else.

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
    check_sum(path, required=_is_safe(path))
    try:
        if _is_safe(path):
            return safetensors.torch.load(Path(path).read_bytes())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file breaks torch's reader anywhere, with a KeyError as well
        raise CheckpointError(
            "cannot be read as a file of weights",
            where=where,
            why="it is damaged, or holds more than tensors and plain values",
            fix="write it again with torch.save(network.state_dict(), path), or monai_kd.utils.write_state",
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"holds a {type(state).__name__}, not weights by name", where=where)
    return state


def write_state(path: str | os.PathLike, state: Mapping[str, Any], previous: str | os.PathLike | None = None) -> None:
    """Write tensors and plain values beside the file and rename it: it is whole, or as it was, even if it is killed.

    A `.safetensors` file gets its checksum beside it, after it: a kill between the two leaves a file that
    :func:`read_state` refuses. Beside any other file a checksum of what it was is removed.

    Args:
        path: the file; its folder is made if need be.
        state: its content, as from `state_dict()`.
        previous: where the file that was there goes; None keeps none.

    Raises:
        CheckpointWriteError: the disk is full, read-only, or refuses for another reason; the file is as it was.
        CheckpointError: something in `state` is no tensor, and `path` ends in `.safetensors`.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.utils import read_state, write_state
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> write_state(path, {"weight": torch.ones(1)})
        >>> read_state(path)
        {'weight': tensor([1.])}
    """
    content = _as_safetensors(state, str(path)) if _is_safe(path) else None
    with replacing(path, _size(state), previous) as beside:
        if content is None:
            torch.save(state, beside)
        else:
            beside.write_bytes(content)
        sum_beside(path).unlink(missing_ok=True)
    if content is not None:
        write_sums(sum_beside(path), {Path(path).name: file_sha256(path)})


def _is_safe(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() == ".safetensors"


def _as_safetensors(state: Mapping[str, Any], where: str) -> bytes:
    """The content of a `.safetensors` file; tensors that share memory are written each by itself."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            what = f"{name!r} is a {type(value).__name__}, and safetensors holds tensors only"
            raise CheckpointError(what, where=where, fix="write it as .pt")
    own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    return safetensors.torch.save(own, {"format": "pt"})


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
