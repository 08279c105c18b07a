# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import glob
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_kd.networks.weights import load_weights, read_weights
from monai_kd.utils import CheckpointError, beside, write_state
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import ConfigError

__all__ = ["carry"]

_LEFT = (".pt.sha256", ".safetensors", ".safetensors.sha256", ".cases.json", ".asked.json")
_CARRIED = ("LICENSE", "docs", "scripts", "configs/logging.conf")


def carry(bundle: Path, student: Path, network: nn.Module, build: Path, teachers: set[str]) -> None:
    """Copy what a packed bundle has besides its configurations.

    The student is `models/model.pt` there, and once more `model.safetensors`; of what is beside it under its name comes
    along what tells that it is of these weights: TorchScript (`.ts`), the origin and the validation score. Of the rest,
    such as ONNX, a warning says that it does not.

    Args:
        bundle: its `LICENSE`, `docs` and `scripts` are copied.
        student: the weights, if they are there.
        network: the student, of which the weights must be.
        build: the folder to write.
        teachers: SHA-256 of files that are not to be published.

    Raises:
        ConfigError: the student is the teacher.
        CheckpointError: the weights are not of this network, or cannot be read; the TorchScript has others.
    """
    for name in _CARRIED:
        if (bundle / name).is_dir():
            shutil.copytree(bundle / name, build / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (bundle / name).is_file():
            shutil.copy(bundle / name, build / name)
    if not student.is_file():
        warnings.warn(f"{student} is not there: the packed bundle has no student", stacklevel=4)
        return
    if file_sha256(student) in teachers:
        raise ConfigError("is the teacher", where=str(student), fix="this is for the student; train it first")
    load_weights(network, student)
    state = read_weights(student)
    models = build / "models"
    models.mkdir()
    shutil.copy(student, models / "model.pt")
    write_state(models / "model.safetensors", state)
    for file in sorted(student.parent.glob(f"{glob.escape(beside(student, '').name)}.*")):
        ending = file.name.removeprefix(beside(student, "").name)
        if ending in (".ts", ".origin.json", ".score.json"):
            if ending == ".ts":
                _check_script(file, state)
            shutil.copy(file, models / f"model{ending}")
        elif file != student and ending not in _LEFT:
            warnings.warn(f"{file} is not packed: nothing tells whether it is of these weights", stacklevel=4)


def _check_script(file: Path, state: Mapping[str, Any]) -> None:
    fix = "export it again, or remove it"
    try:
        found = torch.jit.load(file, map_location="cpu").state_dict()
    except RuntimeError as error:
        raise CheckpointError("cannot be read", where=str(file), why=str(error).splitlines()[0], fix=fix) from error
    if found.keys() != state.keys() or not all(value.equal(state[name]) for name, value in found.items()):
        raise CheckpointError("has other weights than the student beside it", where=str(file), fix=fix)
