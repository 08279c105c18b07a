# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of all bundles share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import torch
from monai.bundle import ConfigWorkflow


def load_script(path: Path) -> ModuleType:
    """A bundle's script as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parents[1].name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(workflow: ConfigWorkflow) -> ConfigWorkflow:
    workflow.run()
    workflow.finalize()
    return workflow


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> bool:
    return any(not v.equal(before[k]) for k, v in network.named_parameters())


def cause(error: BaseException | None, kind: type) -> str:
    """What the error of this kind said that MONAI wrapped into its own."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    return str(error)
