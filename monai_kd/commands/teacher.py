# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_kd.commands.plain import strings
from monai_kd.utils.bundle import importable, read_bundle, resolved
from monai_kd.utils.errors import ConfigError

__all__ = ["teacher_overrides"]


def teacher_overrides(bundle: str | Path) -> dict[str, Any]:
    """Make the network that a bundle publishes the teacher of another: what `--teacher` lays over.

    Args:
        bundle: the teacher's bundle, with `network_def` in its inference or training and its weights in
            `models/model.pt`.

    Returns:
        `teacher_def`, free of references, and `teacher_checkpoint`.

    Raises:
        ConfigError: the bundle lacks one of them, or its network cannot be written down without running code.
    """
    folder = Path(bundle)
    weights = folder / "models" / "model.pt"
    if not weights.is_file():
        raise ConfigError("no such file", where=str(weights), fix="--teacher takes a bundle's folder, with its weights")
    parser = read_bundle(folder)
    if "network_def" not in parser:
        raise ConfigError("has no network_def", where=str(folder))
    with importable(folder):
        network = resolved(parser, "network_def", str(folder))
    if any(text.startswith("scripts.") for _, text in strings(network)):
        raise ConfigError(
            "network_def is in the bundle's own scripts", where=str(folder), fix="copy them to the student's"
        )
    return {"teacher_def": network, "teacher_checkpoint": str(weights)}
