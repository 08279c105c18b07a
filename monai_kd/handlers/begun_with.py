# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_kd.networks.origin import taught_by

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
    return {**found, **{f"SHA-256 of {name}": sha[:12] for name, sha in taught_by(engine.inferer.networks).items()}}
