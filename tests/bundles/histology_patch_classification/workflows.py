# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this bundle share."""

from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[3] / "bundles" / "histology_patch_classification" / "configs"
FLAT = {
    "in_channels": 1,
    "out_channels": 3,
    "init_features": 8,
    "growth_rate": 8,
    "block_config": (2, 2, 2),
    "bn_size": 2,
}
