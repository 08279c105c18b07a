# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import LoadImage, MapTransform

from monai_kd.transforms.load_dicom_seriesd import LoadDicomSeriesd
from monai_kd.utils.dicom import is_dicom
from monai_kd.utils.errors import DataError

__all__ = ["ReadImageD", "ReadImageDict", "ReadImaged"]


class ReadImaged(MapTransform):
    """Read images as MONAI's `LoadImaged(image_only=True, ensure_channel_first=True)`, and name what cannot be read.

    DICOM, a file or a folder of one series, goes to `LoadDicomSeriesd`: the same voxels whatever packages are
    installed. Of other files MONAI chooses the reader by their names. An error names the case and the file, which
    MONAI's chain of errors leaves out.

    Args:
        keys: of paths; they receive the image, channels first.
        allow_missing_keys: whether an item may lack a key.

    Raises:
        DataError: an image cannot be read; names case, key and file.

    Example::

        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms import ReadImaged
        >>> ReadImaged("image")({"image": get_testdata_file("CT_small.dcm")})["image"].shape
        torch.Size([1, 128, 128])
        >>> ReadImaged("image")({"image": "nothing.png", "case": "a"})
        Traceback (most recent call last):
        monai_kd.utils.errors.DataError: case 'a', image, nothing.png: cannot be read. ...
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadImage(image_only=True, ensure_channel_first=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the images of `data`."""
        item = dict(data)
        for key in self.key_iterator(item):
            path = item[key]
            try:
                item[key] = LoadDicomSeriesd(key)(item)[key] if _is_dicom(path) else self.load(path)
            except Exception as error:  # a reader raises anything
                case = f"case {str(item['case'])!r}, " if "case" in item else ""
                known = (error.what, error.why) if isinstance(error, DataError) else (f"{error}",)
                why = ". ".join(" ".join(part.split()) for part in known if part)
                fix = "monai-kd check-data names every file that cannot be read"
                raise DataError(
                    "cannot be read", where=f"{case}{key}, {path}", why=why or type(error).__name__, fix=fix
                ) from error
        return item


def _is_dicom(path: Any) -> bool:
    if not isinstance(path, str | os.PathLike):
        return False  # several files are MONAI's to put together
    path = Path(path)
    return path.is_dir() or path.suffix.lower() == ".dcm" or (path.is_file() and is_dicom(path))


ReadImageD = ReadImageDict = ReadImaged
