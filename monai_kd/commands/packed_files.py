# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_kd.networks.origin import check_origin
from monai_kd.networks.weights import read_weights
from monai_kd.utils import CheckpointError, write_state
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import ConfigError

__all__ = ["carry"]

_CARRIED = ("LICENSE", "docs", "scripts", "configs/logging.conf")


def carry(bundle: Path, student: Path, origin: Mapping[str, Any], build: Path, teachers: set[str]) -> None:
    """Copy what a packed bundle has besides its configurations.

    The student is `models/model.pt` there, and once more `model.safetensors`; what is beside it of one name comes along
    where it can be told that it is of these weights: TorchScript (`.ts`) and the validation score.

    Args:
        bundle: its `LICENSE`, `docs` and `scripts` are copied.
        student: the weights, if they are there.
        origin: which training they should be of; see `check_origin`.
        build: the folder to write.
        teachers: SHA-256 of files that are not to be published.

    Raises:
        ConfigError: the student is the teacher.
        CheckpointError: the student is of another training, or cannot be read; the TorchScript has other weights.
    """
    for name in _CARRIED:
        if (bundle / name).is_dir():
            shutil.copytree(bundle / name, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (bundle / name).is_file():
            shutil.copy(bundle / name, build / name)
    if not student.is_file():
        return
    if file_sha256(student) in teachers:
        raise ConfigError("is the teacher", where=str(student), fix="this is for the student; train it first")
    check_origin(student, origin)
    state = read_weights(student)
    models = build / "models"
    models.mkdir()
    shutil.copy(student, models / "model.pt")
    write_state(models / "model.safetensors", state)
    for ending in (".ts", ".score.json"):
        beside = student.with_suffix(ending)
        if beside.is_file():
            if ending == ".ts":
                _check_script(beside, state)
            shutil.copy(beside, models / f"model{ending}")
    for beside in sorted(student.parent.glob(f"{student.stem}.onnx")):
        why = "nothing tells whether it is of these weights"
        warnings.warn(f"{beside} is not packed: {why}; export it from the packed bundle", stacklevel=4)


def _check_script(file: Path, state: Mapping[str, Any]) -> None:
    fix = "export it again, or remove it"
    try:
        found = torch.jit.load(file, map_location="cpu").state_dict()
    except RuntimeError as error:
        raise CheckpointError("cannot be read", where=str(file), why=str(error).splitlines()[0], fix=fix) from error
    if found.keys() != state.keys() or not all(value.equal(state[name]) for name, value in found.items()):
        raise CheckpointError("has other weights than the student beside it", where=str(file), fix=fix)
