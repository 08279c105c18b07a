# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from monai_kd.networks.teacher import frozen_teachers
from monai_kd.networks.weights import loaded_from
from monai_kd.utils import CheckpointError, beside, read_json, write_text
from monai_kd.utils.checksums import file_sha256

__all__ = ["check_origin", "differing", "read_origin", "taught_by", "write_origin"]


def write_origin(path: str | os.PathLike, origin: Mapping[str, Any]) -> None:
    """Note beside weights, in a file that ends in `.origin.json`, which training they are of, and their SHA-256.

    Args:
        path: the weights.
        origin: texts and numbers, such as `role`, `recipe` and `seed`.
    """
    write_text(beside(path, ".origin.json"), json.dumps({**origin, "sha256": file_sha256(path)}) + "\n")


def read_origin(path: str | os.PathLike) -> dict[str, Any]:
    """What :func:`write_origin` noted of these weights; empty where nothing is known of them.

    Args:
        path: the weights; if they were written anew since, by something else, nothing is known.
    """
    if not (Path(path).is_file() and beside(path, ".origin.json").is_file()):
        return {}
    origin = dict(read_json(beside(path, ".origin.json")))
    return origin if origin.pop("sha256", None) == file_sha256(path) else {}


def check_origin(path: str | os.PathLike, origin: Mapping[str, Any]) -> str:
    """Refuse weights that another training published: recipes, seeds and label fractions publish to the same file.

    `FinalModelSaver(origin=...)` notes what weights are of; of others, and of a file that is not there yet, nothing is
    known, and nothing is checked.

    Args:
        path: the weights.
        origin: what they should be of; only what both know is compared.

    Returns:
        The path, as text.

    Raises:
        CheckpointError: they are of another training; names each difference.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.networks import check_origin, write_origin
        >>> path = tempfile.mkdtemp() + "/model.pt"
        >>> torch.save(torch.nn.Linear(2, 2).state_dict(), path)
        >>> write_origin(path, {"recipe": "kd", "seed": 0})
        >>> check_origin(path, {"recipe": "kd", "seed": 0}) == path
        True
        >>> check_origin(path, {"recipe": "kd", "seed": 1})
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.CheckpointError: ...model.pt: is of another training: seed 0, now 1. ...
    """
    told = differing(read_origin(path), origin)
    if told:
        fix = "ask for the same, name the file of the training that is meant with --checkpoint, or train again"
        raise CheckpointError(f"is of another training: {told}", where=str(path), fix=fix)
    return str(path)


def taught_by(networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """The SHA-256 of the file that each frozen teacher was read from; of others nothing is known.

    Args:
        networks: those of the passes, by pass.

    Returns:
        By what an error calls the teacher.
    """
    found = {name: loaded_from(network) for name, network in frozen_teachers(networks).items()}
    return {name: file_sha256(path) for name, path in found.items() if path is not None and path.is_file()}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what differs of that which both know; empty if nothing does.

    Args:
        before, now: names and plain values.

    Example::

        >>> from monai_kd.networks.origin import differing
        >>> differing({"seed": 0, "fold": 1}, {"seed": 1, "fold": 1, "recipe": "kd"})
        'seed 0, now 1'
    """
    return ", ".join(f"{k} {before[k]!r}, now {now[k]!r}" for k in before if k in now and before[k] != now[k])
