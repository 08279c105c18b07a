# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Segmentation data sets that their own code makes: blobs in noise, as volumes (NIfTI) or pictures (PNG)."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image


def blobs(seed: int, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Image and label: class 1 in front of class 2 along the second axis."""
    random = np.random.RandomState(seed)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"))
    label = np.zeros(size, dtype=np.uint8)
    for number, centre in ((1, -0.35), (2, 0.35)):
        middle = random.uniform(-0.1, 0.1, len(size))
        middle[1] += centre
        label[(np.square(places - middle.reshape(-1, *[1] * len(size))).sum(0)) < 0.09] = number
    image = 100 * label.astype(np.float32) + random.normal(0, 30, size)
    return (image * random.uniform(0.5, 100)).astype(np.float32), label  # scanners have no common unit


def write_volumes(folder: Path, count: tuple[int, int, int] = (4, 2, 2), size: tuple[int, ...] = (17, 24, 18)) -> str:
    """Write `count` volumes to train, validate and test, and their dataset.json; return the folder."""
    sections: dict[str, list[dict]] = {}
    for section, n in zip(("training", "validation", "test"), count, strict=True):
        sections[section] = []
        for i in range(n):
            name = f"{section}_{i}.nii.gz"
            for where, array in zip(("images", "labels"), blobs(100 * len(sections) + i, size), strict=True):
                (folder / where).mkdir(parents=True, exist_ok=True)
                nib.save(nib.Nifti1Image(array, np.eye(4)), folder / where / name)
            sections[section].append({"image": f"images/{name}", "label": f"labels/{name}", "case": f"{section}_{i}"})
    content = {"labels": {"0": "background", "1": "front", "2": "back"}, **sections}
    (folder / "dataset.json").write_text(json.dumps(content))
    return str(folder)


def write_pictures(folder: Path, count: tuple[int, int, int] = (4, 2, 2), size: tuple[int, int] = (40, 48)) -> str:
    """As `write_volumes`, of RGB pictures with one class; the second blob is a nucleus too."""
    sections: dict[str, list[dict]] = {}
    for where in ("images", "labels"):
        (folder / where).mkdir(parents=True, exist_ok=True)
    for section, n in zip(("training", "validation", "test"), count, strict=True):
        sections[section] = []
        for i in range(n):
            image, label = blobs(100 * len(sections) + i, size)
            grey = np.clip(200 - 100 * (image / image.max()), 0, 255).astype(np.uint8)
            name = f"{section}_{i}.png"
            Image.fromarray(np.stack([grey, grey // 2, grey], axis=-1)).save(folder / "images" / name)
            Image.fromarray((label > 0).astype(np.uint8)).save(folder / "labels" / name)
            sections[section].append({"image": f"images/{name}", "label": f"labels/{name}", "case": f"{section}_{i}"})
    content = {"labels": {"0": "background", "1": "nucleus"}, **sections}
    (folder / "dataset.json").write_text(json.dumps(content))
    return str(folder)
