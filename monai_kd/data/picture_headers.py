# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import pydicom
from PIL import Image

from monai_kd.data.checks.dicom import quiet
from monai_kd.utils.dicom import is_dicom
from monai_kd.utils.errors import DataError

__all__ = ["check_header"]

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
BITS_PER_SAMPLE = 258  # of TIFF
BITS = {"1": 1, "I": 32, "F": 32}  # of PIL's modes that are not of 8
TAGS = ["BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"]
FIX = (
    "save all pictures with 8 bits, scaled by one factor (of 12 bits: 255 / 4095); "
    "or scale them otherwise in `loading`, and set channels to null"
)


def check_header(file: str, channels: int, key: str, where: str) -> None:
    """Refuse a picture that a network for 8 bits would see wrong, by its header; no pixel is read.

    Of png, jpg, tif and bmp: a colour palette, another number of channels, other than 8 bits a channel. Of a DICOM
    file: values that, as stored and rescaled, are not 0 to 255. Other files, and those that cannot be read, pass.

    Args:
        file: its path.
        channels: how many it must have.
        key: what the item calls it.
        where: what an error calls it.

    Raises:
        DataError: one of these; says how to convert it.

    Example::

        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_kd.data.picture_headers import check_header
        >>> file = tempfile.mkdtemp() + "/a.png"
        >>> Image.new("I;16", (8, 6)).save(file)
        >>> check_header(file, 1, "image", "a.png")
        Traceback (most recent call last):
        monai_kd.utils.errors.DataError: a.png: 'image' has 16 bits a channel, expected 8. save all pictures ...
    """
    if file.lower().endswith(ENDINGS):
        _check_picture(file, channels, key, where)
    elif os.path.isfile(file) and (file.lower().endswith(".dcm") or is_dicom(Path(file))):
        _check_dicom(file, key, where)


def _check_picture(file: str, channels: int, key: str, where: str) -> None:
    try:
        with Image.open(file) as picture:
            mode, found, bits = picture.mode, len(picture.getbands()), stored_bits(picture)
    except OSError:
        return  # who reads it says so, or leaves it out if that is asked for
    if mode == "P":
        raise DataError(
            "has a colour palette, whose numbers are no grey values", where=where, fix="save it as RGB or grey"
        )
    if found != channels:
        what = f"{key!r} has {found} channels ({mode}), the network takes {channels}"
        raise DataError(what, where=where, fix=f"give --in_channels {found} if all have, or convert the picture")
    if bits != 8:
        raise DataError(f"{key!r} has {bits} bits a channel, expected 8", where=where, fix=FIX)


def stored_bits(picture: Image.Image) -> int:
    """Bits of a channel as stored: of colours with 16, PIL gives the upper 8 in the mode of 8."""
    declared = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE)
    if declared:
        return max(declared)
    return 16 if ";16" in f"{picture.mode}{picture.tile}" else BITS.get(picture.mode, 8)  # type: ignore[attr-defined]


def _check_dicom(file: str, key: str, where: str) -> None:
    try:
        with quiet():
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS)
            bits, signed = int(header.BitsStored), bool(header.get("PixelRepresentation"))
            slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    except Exception:  # pydicom raises anything; who reads the file says so
        return
    least = -(2 ** (bits - 1)) if signed else 0
    low, high = (value * slope + intercept for value in (least, least + 2**bits - 1))
    if (low, high) != (0, 255):
        raise DataError(f"{key!r} has values {low:g} to {high:g}, expected 0 to 255", where=where, fix=FIX)
