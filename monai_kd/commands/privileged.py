# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings

from monai.bundle import ConfigParser

from monai_kd.commands.composition import Composition, importable
from monai_kd.commands.reached import reached
from monai_kd.utils.bundle import resolved

__all__ = ["warn_without_privileged"]


def warn_without_privileged(composed: Composition) -> None:
    """Warn where a recipe that learns from a second modality is trained on data that have none.

    The bundle's `privileged_key` is `image` then, and two networks see the same picture. Nothing is said where the key
    cannot be told: the training itself says why.

    Args:
        composed: a bundle's training and what is laid over it.
    """
    if composed.info.get("role") != "multi_modal":
        return
    root = composed.overrides.get("bundle_root", str(composed.bundle))
    config = {**composed.merged(), "bundle_root": root}
    if "privileged_key" not in config or "train" not in reached(config):  # a test reads the picture alone
        return
    parser = ConfigParser(config)
    parser.resolve_macro_and_relative_ids()
    try:
        with importable(composed.bundle):
            key = resolved(parser, "privileged_key", str(composed.bundle))
    except (OSError, RuntimeError, ValueError):  # what MONAI and the readers of the data raise
        return
    if key == "image":
        warnings.warn(
            f"recipe {composed.recipe.id!r} learns from a second modality, but privileged_key is 'image': the same "
            "picture twice; give each training item of the dataset.json a 'privileged' beside its 'image', or say "
            "--privileged_key KEY if it is there by another name",
            stacklevel=3,
        )
