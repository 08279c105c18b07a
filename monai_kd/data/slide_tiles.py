# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.data import MaskedPatchWSIDataset
from monai.utils import ensure_tuple_rep

from monai_kd.utils.errors import DataError

__all__ = ["slide_tiles"]


def slide_tiles(
    slides: Sequence[Mapping[str, Any]],
    patch_size: int | Sequence[int],
    patch_level: int = 0,
    mask_level: int = 0,
    reader: str = "openslide",
) -> list[dict[str, Any]]:
    """List the tiles of whole slides that show tissue, for `LoadTiled` to read and `BagDataset` to put together.

    MONAI's `MaskedPatchWSIDataset` finds the tissue (Otsu's threshold of the saturation) and offers a tile for each
    pixel of its mask; a tile here is a cell of the grid from the slide's corner on, in which such a pixel has its
    centre. Cells that reach over the slide's end are left out. A tile is what its slide is (label and all) and has

    - `location`: its upper left corner, row and column at level 0; `size` and `level`, of the tile;
    - `index`: its position in the list; `case`: the slide's and the location; `group`: the slide's, as bags want it.

    Args:
        slides: items as of `load_datalist`, whose `image` is a slide.
        patch_size: rows and columns of a tile, in pixels of `patch_level`.
        patch_level: of the pyramid, at which tiles are read.
        mask_level: at which tissue is looked for; the whole level is read. A pixel no larger than a tile is best.
        reader: backend of MONAI's `WSIReader`; the extra `wsi` installs `openslide`. (`tifffile` reads the whole level
            for each tile.)

    Raises:
        DataError: a slide cannot be read, has no such level, or shows no tissue; names it.

    Example::

        >>> from monai_kd.data import slide_tiles
        >>> slide_tiles([], patch_size=256)
        []
    """
    tiles: list[dict[str, Any]] = []
    size = ensure_tuple_rep(patch_size, 2)
    for slide in slides:
        path = os.fspath(slide["image"])
        try:
            found = MaskedPatchWSIDataset(
                [{"image": path}], patch_size=size, patch_level=patch_level, mask_level=mask_level, reader=reader
            )
            wsi = found.wsi_reader.read(path)
            ratio = found.wsi_reader.get_downsample_ratio(wsi, patch_level)
            ends = found.wsi_reader.get_size(wsi, 0)
        except Exception as error:
            raise DataError(f"cannot be cut into tiles: {error}", where=path) from error
        side = np.multiply(size, ratio)  # of a tile, in pixels of level 0
        taken: set[tuple[int, ...]] = set()
        for sample in found.data:
            center = sample["location"] + side // 2  # MONAI's tile has the mask's pixel in its middle
            cell = tuple(int(c) for c in center // side)
            if cell in taken or np.any(np.multiply(np.add(cell, 1), side).round() > ends):
                continue
            taken.add(cell)
            location = tuple(int(c) for c in np.multiply(cell, side).round())
            tile = {"location": location, "size": size, "level": patch_level, "index": len(tiles)}
            case = f"{slide.get('case', path)}_{location[0]}_{location[1]}"
            tiles.append({**slide, **tile, "case": case, "group": slide.get("group", path)})
        if not taken:
            raise DataError("no tissue is found", where=path, fix="another mask_level, or smaller tiles")
    return tiles
