# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole slides as tests need them: tiled pyramids, white but for a coloured rectangle of tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile


def write_slide(path: Path, tissue: tuple[slice, slice], shape: tuple[int, int] = (512, 384), seed: int = 0) -> Path:
    """Write a slide of three levels, each a quarter of the size of the one before.

    Args:
        path: of the file.
        tissue: rows and columns of the rectangle.
        shape: of the largest level, in pixels.
        seed: of the noise in the tissue.
    """
    pixels = np.full((*shape, 3), 245, np.uint8)
    noise = np.random.default_rng(seed).integers(-20, 20, (*shape, 3))
    pixels[tissue] = (np.array([180, 60, 140]) + noise)[tissue].astype(np.uint8)
    with tifffile.TiffWriter(path) as file:
        for step in (1, 4, 16):
            file.write(pixels[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=int(step > 1))
    return path
