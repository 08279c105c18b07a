# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from monai_kd.transforms.dicom_series import read_series

__all__ = ["LoadDicomSeriesD", "LoadDicomSeriesDict", "LoadDicomSeriesd"]


class LoadDicomSeriesd(MapTransform):
    """Read DICOM, a file or a folder of one series, with the same voxels whatever packages are installed.

    MONAI's `LoadImaged` takes ITK where it is installed, else pydicom, and the two differ (MONOCHROME1, multi-frame,
    two series in a folder). Here `read_series` reads, and says what it refuses.

    Args:
        keys: of paths; they receive the image, float32: [1, W, H], [1, W, H, D], or 3 channels if it has colour.
        ensure_channel_first: without it, gray images have no channel, and colour is the last axis.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        DataError: an image cannot be used; names the file. `monai_kd.data.readable_items` leaves such items out.

    Example::

        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms import LoadDicomSeriesd
        >>> item = LoadDicomSeriesd("image")({"image": get_testdata_file("CT_small.dcm")})
        >>> item["image"].shape, item["image"].meta["Modality"]
        (torch.Size([1, 128, 128]), 'CT')
    """

    def __init__(
        self, keys: KeysCollection, ensure_channel_first: bool = True, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.ensure_channel_first = ensure_channel_first

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the images of `data`."""
        item = dict(data)
        for key in self.key_iterator(item):
            array, _, meta = read_series(item[key])
            if self.ensure_channel_first:
                gray = array.ndim == len(meta["spatial_shape"])
                array = array[None] if gray else np.ascontiguousarray(np.moveaxis(array, -1, 0))
            item[key] = MetaTensor.ensure_torch_and_prune_meta(array, meta)
        return item


LoadDicomSeriesD = LoadDicomSeriesDict = LoadDicomSeriesd
