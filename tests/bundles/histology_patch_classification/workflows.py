# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this bundle share."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow

CONFIGS = Path(__file__).resolve().parents[3] / "bundles" / "histology_patch_classification" / "configs"
FLAT = {
    "in_channels": 1,
    "out_channels": 3,
    "init_features": 8,
    "growth_rate": 8,
    "block_config": (2, 2, 2),
    "bn_size": 2,
}


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
