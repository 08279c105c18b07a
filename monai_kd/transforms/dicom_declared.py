# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from typing import Any

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from monai_kd.transforms.dicom_meta import sop_class
from monai_kd.transforms.dicom_tags import number
from monai_kd.utils.dicom import RATIO
from monai_kd.utils.errors import DataError

__all__ = ["check_declared"]

BITS = {"PixelData": 0, "FloatPixelData": 32, "DoubleFloatPixelData": 64}


def check_declared(header: Dataset, where: str) -> tuple[int, int, int, int]:
    """Compare what a file declares with the bytes it has, before anything is decoded.

    Args:
        header: of the file, read with long values deferred.
        where: its path.

    Returns:
        Frames, rows, columns and samples of a pixel (1, or 3 for colour).

    Raises:
        DataError: it is no image, names no transfer syntax, or declares other than it holds.

    Example::

        >>> import pydicom
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_declared import check_declared
        >>> path = get_testdata_file("CT_small.dcm")
        >>> check_declared(pydicom.dcmread(path, defer_size=4096), path)
        (1, 128, 128, 1)
    """
    name = next((keyword for keyword in BITS if keyword in header), None)
    if name is None:
        raise DataError(f"is no image ({sop_class(header)})", where=where, why="it has no pixels, or ends before them")
    count = [
        number(header, "NumberOfFrames", where, 1.0),
        number(header, "Rows", where),
        number(header, "Columns", where),
    ]
    count.append(number(header, "SamplesPerPixel", where, 1.0))
    bits = int(BITS[name] or number(header, "BitsAllocated", where))
    if min(*count, bits) < 1:
        raise DataError(f"declares {count} frames, rows, columns and samples of {bits} bits", where=where)
    frames, rows, columns, samples = map(int, count)
    if count[3] > 1 and header.get("PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"):
        raise DataError(f"is {header.PhotometricInterpretation}, and has {samples} samples a pixel", where=where)
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if not syntax:
        raise DataError("names no TransferSyntaxUID, so its pixels cannot be read", where=where)
    packed = UID(syntax).is_encapsulated
    length = _length(header, name, os.path.getsize(where))
    needed = rows * columns * samples * frames * bits
    needed = (needed * 2 // 3 if header.get("PhotometricInterpretation") == "YBR_FULL_422" else needed) + 7 >> 3
    if needed > RATIO * length if packed else not needed <= length <= needed + 1:
        raise DataError(f"declares {needed} bytes of pixels and holds {length}", where=where, fix="copy it again")
    return frames, rows, columns, samples


def _length(header: Dataset, name: str, size: int) -> int:
    """Bytes of the pixels: as told, or fewer where the file of `size` bytes ends before."""
    raw: Any = header.get_item(name, keep_deferred=True)
    if not isinstance(raw, RawDataElement) or raw.value is not None:
        return len(raw.value or b"")
    if header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return raw.length  # places in such a file count unpacked bytes
    return min(raw.length, size - raw.value_tell)
