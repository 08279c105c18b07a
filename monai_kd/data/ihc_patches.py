# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import skimage

from monai_kd.data.save_datalist import save_datalist
from monai_kd.utils.errors import DataError
from monai_kd.utils.new_folder import new_folder

__all__ = ["GRADES", "REGIONS", "write_ihc_patches"]

REGIONS = {"training": (0, 320), "validation": (320, 416), "test": (416, 512)}  #: rows of the picture
GRADES = ("negative", "partial", "positive")  #: less than 5 % of the patch is stained, less than 50 %, or more
CUTS = (0.05, 0.5)
FULL_SCALE = 0.1  #: hematoxylin density that is written as 255
BLOCK = 64  #: pixels, side of the blocks that a bootstrap resamples


def write_ihc_patches(folder: str | os.PathLike, tile: int = 32, stride: int = 16) -> str:
    """Write the embedded demo data set into `folder`: patches of one immunohistochemistry picture, with their grades.

    The picture (512 x 512, colon, FHL2 in brown DAB over blue hematoxylin) ships inside scikit-image. It is cut by
    *rows*, 0-320 to train, 320-416 to validate, 416-512 to test, so that no pixel is in two of them, then into patches.
    Colour deconvolution (`skimage.color.rgb2hed`) tells the stains apart. Each patch is saved twice: `image`, the
    hematoxylin density alone in 8-bit grey, as a routine slide would give it, and `privileged`, the full colour. The
    label is the patch's DAB-positive grade

    .. math:: y = [a \\ge 0.05] + [a \\ge 0.5]

    with a the fraction of its pixels whose DAB density exceeds Otsu's threshold, computed from the training rows alone.
    `group` names the 64-pixel block that holds the patch's centre: neighbouring patches overlap, so a bootstrap
    resamples blocks. `dataset.json` has the form of the Medical Segmentation Decathlon; :func:`load_datalist` reads it.

    The same bytes every time. The folder is written beside and then renamed, so it is whole or not there; if it is
    there already it is left as it is.

    Args:
        folder: where to; made.
        tile: side of a patch in pixels, at most 96, the rows of the test region.
        stride: pixels from one patch to the next.

    Returns:
        The folder, as text.

    Raises:
        DataError: `folder` holds something else; it is never overwritten.

    Ruifrok & Johnston, Quantification of histochemical staining by color deconvolution, 2001.

    Example::

        >>> import tempfile
        >>> from monai_kd.data import load_datalist, write_ihc_patches
        >>> folder = write_ihc_patches(tempfile.mkdtemp(), stride=32)
        >>> item = load_datalist(folder, "test")[0]
        >>> item["case"], item["label"], item["group"]
        ('test_416_000', 0, 'test_0_0')
    """
    folder = Path(folder)
    if not 1 <= stride or not 1 <= tile <= 96:
        raise DataError(f"tile {tile}, stride {stride}", where="ihc_patches", fix="tile is 1 to 96, stride at least 1")
    if _is_written(folder, tile, stride):
        return str(folder)
    try:
        with new_folder(folder) as temporary:
            _write(temporary, tile, stride)
    except (OSError, DataError):
        if not _is_written(folder, tile, stride):  # else another process was faster
            raise
    return str(folder)


def _is_written(folder: Path, tile: int, stride: int) -> bool:
    """Whether the data set is there; an error if something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or any(found.get(k) != v for k, v in _head(tile, stride).items()):
        raise DataError(
            f"the folder holds something else than the demo patches of tile {tile}, stride {stride}",
            where=str(folder),
            fix="remove it, or give another folder",
        )
    return True


def _head(tile: int, stride: int) -> dict[str, Any]:
    rows = ", ".join(f"{section} rows {start}-{stop}" for section, (start, stop) in REGIONS.items())
    return {
        "name": "ihc_patches",
        "description": "Patches of an immunohistochemistry picture, graded by their DAB-positive area",
        "reference": "skimage.data.immunohistochemistry (Center for Microscopy and Molecular Imaging)",
        "licence": "no known copyright restrictions",
        "tensorImageSize": "2D",
        "modality": {"0": "hematoxylin"},
        "labels": {str(i): grade for i, grade in enumerate(GRADES)},
        "split": f"{rows}; patches of {tile} pixels, stride {stride}; intervals resample blocks of {BLOCK} pixels",
        "tile": tile,
        "stride": stride,
    }


def _write(folder: Path, tile: int, stride: int) -> None:
    colour = skimage.data.immunohistochemistry()
    stains = skimage.color.rgb2hed(colour)
    hematoxylin = np.round(255 * np.clip(stains[..., 0] / FULL_SCALE, 0, 1)).astype(np.uint8)
    dab = stains[..., 2]
    threshold = skimage.filters.threshold_otsu(dab[slice(*REGIONS["training"])])
    content = {**_head(tile, stride), "threshold": round(float(threshold), 6)}
    for section, (start, stop) in REGIONS.items():
        items: list[dict[str, Any]] = []
        content[section] = items
        for row in range(start, stop - tile + 1, stride):
            for column in range(0, colour.shape[1] - tile + 1, stride):
                window = np.s_[row : row + tile, column : column + tile]
                case = f"{section}_{row:03d}_{column:03d}"
                item: dict[str, Any] = {"image": f"hematoxylin/{case}.png", "privileged": f"colour/{case}.png"}
                for name, pixels in zip(item.values(), (hematoxylin, colour), strict=True):
                    (folder / name).parent.mkdir(exist_ok=True)
                    skimage.io.imsave(folder / name, pixels[window], check_contrast=False)
                area = (dab[window] > threshold).mean()
                block = (row + tile // 2 - start) // BLOCK, (column + tile // 2) // BLOCK
                item.update(label=int(np.digitize(area, CUTS)), case=case, group=f"{section}_{block[0]}_{block[1]}")
                items.append(item)
    save_datalist(content, folder)
