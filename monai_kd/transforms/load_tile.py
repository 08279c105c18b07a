# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor, WSIReader
from monai.transforms import MapTransform

__all__ = ["LoadTileD", "LoadTileDict", "LoadTiled"]


class LoadTiled(MapTransform):
    """Read a tile of a whole slide: the item's `location`, `size` and `level`, as `slide_tiles` lists them.

    Args:
        keys: of slides' paths; they receive the tile, [C, rows, columns].
        reader: backend of MONAI's `WSIReader`; the extra `wsi` installs `openslide`.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        what MONAI's `WSIReader` raises: a slide cannot be read, or has no such level.

    Example::

        >>> from monai_kd.transforms import LoadTiled
        >>> load = LoadTiled("image", reader="openslide")  # doctest: +SKIP
        >>> item = {"image": "slide.svs", "location": (0, 256), "size": (256, 256), "level": 0}
        >>> load(item)["image"].shape  # doctest: +SKIP
        torch.Size([3, 256, 256])
    """

    def __init__(self, keys: KeysCollection, reader: str = "openslide", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reader = WSIReader(backend=reader)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the tile of `data`."""
        item = dict(data)
        for key in self.key_iterator(item):
            slide = self.reader.read(item[key])
            place = {name: item[name] for name in ("location", "size", "level")}
            pixels, meta = self.reader.get_data(slide, **place)
            item[key] = MetaTensor(pixels, meta=meta)
        return item


LoadTileD = LoadTileDict = LoadTiled
