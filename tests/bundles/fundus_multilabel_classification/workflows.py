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

BUNDLE = Path(__file__).resolve().parents[3] / "bundles" / "fundus_multilabel_classification"
CONFIGS = BUNDLE / "configs"
LETTERS = "NDGCAHMO"
FLAT: dict[str, Any] = {  # the student, without the configuration
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [8, 16, 32, 64],
    "spatial_dims": 2,
    "n_input_channels": 3,
    "num_classes": 8,
    "conv1_t_size": 5,
    "conv1_t_stride": 4,
    "no_max_pool": True,
    "bias_downsample": False,
    "act": "relu",
}


def prepare_data() -> ModuleType:
    """The bundle's script."""
    return load_script(BUNDLE / "scripts" / "prepare_data.py")


def findings(number: int) -> list[int]:
    """Of a patient: one finding, common ones more often, and of every fourth patient a second one."""
    label = [0] * 8
    label[number % 8 if number % 2 else number % 3] = 1
    if number % 4 == 0:
        label[-1] = 1
    return label


def rows_of(patients: int) -> list[dict[str, Any]]:
    """The table: two eyes of each patient, but of every fifth patient the right one only."""
    rows = []
    for number in range(patients):
        for side in ("left", "right"):
            if side == "right" or number % 5:
                label = dict(zip(LETTERS, findings(number), strict=True))
                rows.append({"ID": number, "age": 60, "filename": f"{number}_{side}.jpg", **label})
    return rows


def write_odir(folder: Path, patients: int = 60, zipped: bool = False) -> Path:
    """Write a download of ODIR-5K in miniature: discs of a colour of their own, the left eye darker than the right."""
    (folder / "images").mkdir(parents=True)
    y, x = np.mgrid[:24, :24] - 12
    for row in (rows := rows_of(patients)):
        rng = np.random.RandomState(row["ID"])
        colour = rng.randint(120, 200, 3) * (0.5 if "left" in row["filename"] else 1.0)
        pixels = np.where((x**2 + y**2 < 110)[..., None], colour, 10) + rng.randint(0, 10, (24, 24, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / row["filename"])
    write_csv(folder / "labels.csv", rows)
    if zipped:
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for file in sorted((folder / "images").iterdir()):
                archive.write(file, f"images/{file.name}")
                file.unlink()
    return folder


def write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_fundus(folder: Path) -> str:
    """A download in miniature, made ready by the bundle's own script."""
    prepare_data().write_dataset(write_odir(folder.with_name("source")), folder, size=32)
    return str(folder)
