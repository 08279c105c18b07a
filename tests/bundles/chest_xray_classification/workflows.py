# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this bundle share."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.bundles.workflows import load_script

BUNDLE = Path(__file__).resolve().parents[3] / "bundles" / "chest_xray_classification"
CONFIGS = BUNDLE / "configs"
SIZES = {"train": 40, "val": 12, "test": 16}
FLAT: dict[str, Any] = {  # the student, without the configuration
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [4, 8, 16, 32],
    "spatial_dims": 2,
    "n_input_channels": 1,
    "num_classes": 2,
    "conv1_t_size": 3,
    "conv1_t_stride": 1,
    "no_max_pool": True,
    "bias_downsample": False,
    "act": "relu",
}


def prepare_data() -> ModuleType:
    """The bundle's script."""
    return load_script(BUNDLE / "scripts" / "prepare_data.py")


def draw() -> dict[str, np.ndarray]:
    """The arrays of PneumoniaMNIST in miniature: three of four have a bright spot, the others a dark one."""
    rng, arrays = np.random.RandomState(0), {}
    y, x = np.mgrid[:28, :28]
    spot = (x - 9) ** 2 + (y - 16) ** 2 < 36
    for part, number in SIZES.items():
        labels = (np.arange(number) % 4 > 0).astype(np.uint8)
        pixels = 110 + 80 * spot * (2.0 * labels[:, None, None] - 1) + rng.randint(-20, 20, (number, 28, 28))
        arrays |= {f"{part}_images": pixels.astype(np.uint8), f"{part}_labels": labels[:, None]}
    return arrays


def write_archive(file: Path, **changed: np.ndarray | None) -> Path:
    """Write a download in miniature, with other arrays in place of some, or without those that are None."""
    np.savez(file, **{name: array for name, array in (draw() | changed).items() if array is not None})
    return file


def write_chest_xrays(folder: Path) -> str:
    """A download in miniature, made ready by the bundle's own script."""
    prepare_data().write_dataset(write_archive(folder.with_name("pneumoniamnist.npz")), folder)
    return str(folder)
