# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_kd.networks.teacher import frozen_teachers
from monai_kd.networks.weights import loaded_from
from monai_kd.utils.checksums import file_sha256

__all__ = ["begun_with"]


def begun_with(engine: Any, origin: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run starts from and a saved state would silently replace or contradict: see :class:`Checkpoint`.

    Args:
        engine: a `DistillationTrainer` that has not run yet.
        origin: which training it is, such as its seed.

    Returns:
        `origin`; of each group of the optimiser's parameters the learning rate and weight decay; of each frozen teacher
        whose weights were read from a file how its SHA-256 begins.
    """
    found: dict[str, Any] = dict(origin or {})
    groups = engine.optimizer.param_groups
    for number, group in enumerate(groups):
        of = f" of group {number}" if len(groups) > 1 else ""
        found[f"learning rate{of}"] = float(group.get("initial_lr", group["lr"]))
        found[f"weight decay{of}"] = float(group.get("weight_decay", 0.0))
    for name, network in frozen_teachers(engine.inferer.networks).items():
        path = loaded_from(network)
        if path is not None and path.is_file():
            found[f"SHA-256 of {name}"] = file_sha256(path)[:12]
    return found
