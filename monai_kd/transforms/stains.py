# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor
from skimage.color import rgb_from_hdx, rgb_from_hed
from torch import Tensor

from monai_kd.utils import ConfigError, DataError, suggest

__all__ = ["STAIN_SETS", "colour", "combine", "indices", "separate", "stain_matrix"]

#: the stains of each set, in the order of the rows of its matrix; `residual` is what neither of two explains
STAIN_SETS = {
    "he": ("hematoxylin", "eosin", "residual"),
    "hed": ("hematoxylin", "eosin", "dab"),
    "hdx": ("hematoxylin", "dab", "residual"),
}
DARK = 1e-6  #: what passes at least, so that density is finite; skimage's


def stain_matrix(stain_set: str) -> Tensor:
    """The optical density of red, green and blue of one unit of each stain, [3 stains, 3 colours] in float64.

    Those of scikit-image, after Ruifrok and Johnston; in `he` the third row is at right angles to the others.

    Args:
        stain_set: one of `STAIN_SETS`.

    Raises:
        ConfigError: there is no such set.
    """
    if stain_set not in STAIN_SETS:
        raise ConfigError(f"no stains {stain_set!r}", fix=suggest(str(stain_set), STAIN_SETS, "sets of stains"))
    rows = np.array(rgb_from_hdx if stain_set == "hdx" else rgb_from_hed, dtype=np.float64)
    if stain_set == "he":
        across = np.cross(rows[0], rows[1])
        rows[2] = across / np.linalg.norm(across)
    return torch.from_numpy(rows)


def indices(stains: Sequence[str], stain_set: str) -> list[int]:
    """The rows of `stains` in the matrix of `stain_set`.

    Raises:
        ConfigError: the set has no such stain.
    """
    names = STAIN_SETS[stain_set]
    for name in stains:
        if name not in names:
            raise ConfigError(f"no stain {name!r} in {stain_set!r}", fix=suggest(str(name), names, "stains"))
    return [names.index(name) for name in stains]


def colour(img: NdarrayOrTensor, where: str) -> Tensor:
    """The image as a plain floating tensor.

    Args:
        img: [3, *spatial].
        where: who asks.

    Raises:
        DataError: not three channels, or values that are not in 0 to 1.
    """
    image = torch.as_tensor(img.as_tensor() if isinstance(img, MetaTensor) else img)
    if image.ndim < 2 or image.shape[0] != 3:
        raise DataError(f"an image of shape {tuple(image.shape)}", where=where, fix="red, green and blue come first")
    if not image.is_floating_point() or bool((image < 0).any()) or bool((image > 1).any()):
        what = f"{image.dtype} values from {image.min().item():g} to {image.max().item():g}"
        raise DataError(what, where=where, fix="0 is dark and 1 white: ScaleIntensityRanged(..., 0, 255, 0, 1) before")
    return image


def separate(image: Tensor, matrix: Tensor) -> Tensor:
    """The amount of each stain, [3, *spatial]: Beer and Lambert's law solved, c = -log(x) M^-1.

    Args:
        image: colours in 0 to 1, [3, *spatial].
        matrix: of `stain_matrix`.
    """
    density = -image.clamp(min=DARK).log()
    return torch.einsum("c...,cs->s...", density, torch.linalg.inv(matrix).to(density))


def combine(amounts: Tensor, matrix: Tensor) -> Tensor:
    """Colours of amounts of stain, [3, *spatial] in 0 to 1: x = exp(-c M).

    Args:
        amounts: of each stain, [3, *spatial].
        matrix: of `stain_matrix`.
    """
    return (-torch.einsum("s...,sc->c...", amounts, matrix.to(amounts))).exp().clamp(0, 1)
