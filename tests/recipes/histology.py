# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The histology bundle under a recipe, for tests of what a recipe does to a whole workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

CONFIGS = Path(__file__).parents[2] / "bundles" / "histology_patch_classification" / "configs"


def workflow(folder: Path, data: str, overlay: Path, **values: Any) -> ConfigWorkflow:
    """Initialised; who calls it finalizes it.

    Args:
        folder: stands for the bundle's own, for what is written.
        data: the data set.
        overlay: a recipe's file, or an override of the bundle's.
        values: overrides.
    """
    given = {"bundle_root": str(folder), "dataset_dir": data, "device": "$torch.device('cpu')", "progress": False}
    files = [str(CONFIGS / "train.yaml"), str(overlay)]
    made = ConfigWorkflow(files, workflow_type="train", logging_file=False, **given, **values)
    made.initialize()
    return made
