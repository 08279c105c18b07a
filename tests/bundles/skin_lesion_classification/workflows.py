# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of this bundle share."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from tests.bundles.workflows import load_script

BUNDLE = Path(__file__).resolve().parents[3] / "bundles" / "skin_lesion_classification"
CONFIGS = BUNDLE / "configs"
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
FLAT: dict[str, Any] = {  # the student, without the configuration
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [8, 16, 32, 64],
    "spatial_dims": 2,
    "n_input_channels": 3,
    "num_classes": 7,
    "conv1_t_size": 5,
    "conv1_t_stride": 4,
    "no_max_pool": True,
    "bias_downsample": False,
    "act": "relu",
}


def prepare_data() -> ModuleType:
    """The bundle's script."""
    return load_script(BUNDLE / "scripts" / "prepare_data.py")


def picture(path: Path, number: int, size: int = 24) -> Path:
    """Write a spot on skin, of a colour of its own."""
    rng = np.random.RandomState(number)
    y, x = np.mgrid[:size, :size] - size / 2
    spot = (x**2 + y**2 < (size / 4) ** 2)[..., None]
    pixels = np.where(spot, rng.randint(0, 160, 3), (220, 180, 160)) + rng.randint(-20, 20, (size, size, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


def write_ham10000(folder: Path, lesions: int = 8, zipped: bool = False) -> Path:
    """Write a download of HAM10000 in miniature: of each class so many lesions, every third of them seen twice."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for c, dx in enumerate(CLASSES):
        for i in range(lesions):
            for view in range(1 + (i % 3 == 0)):
                name = f"ISIC_{len(rows):07d}"
                picture(folder / "images" / f"{name}.jpg", len(rows))
                rows.append({"lesion_id": f"HAM_{c}{i:04d}", "image_id": name, "dx": dx, "age": 40 + view})
    write_csv(folder / "metadata.csv", rows)
    if zipped:
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for file in sorted((folder / "images").iterdir()):
                archive.write(file, f"part_1/{file.name}")
                file.unlink()
    return folder


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
