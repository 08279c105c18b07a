# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from monai_kd.data.checks.facts import BadFile, FileFacts, check_declared
from monai_kd.data.checks.voxels import Voxels
from monai_kd.data.picture_headers import stored_bits

__all__ = ["check_picture"]

ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}  # what PIL does not look for
TAIL = 2**16
RATIO = 4096  # more than a compressed picture can save, but for one of black and white


def check_picture(path: Path, label: bool, max_voxels: int) -> FileFacts:
    """Read a picture (png, jpg, bmp, tif) and its checksums, where it has any.

    Args:
        path: the file.
        label: whether its values are classes.
        max_voxels: most values that are decoded.

    Returns:
        The facts; `shape` is (width, height), as MONAI's PILReader gives it.

    Raises:
        BadFile: it cannot be used.

    Example::

        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from monai_kd.data.checks.pictures import check_picture
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.new("RGB", (8, 6)).save(path)
        >>> facts = check_picture(path, False, 2**31)
        >>> facts.shape, facts.channels
        ((8, 6), 3)
    """
    size = os.path.getsize(path)
    try:
        with Image.open(path) as picture:
            kind, mode, bands, pages = picture.format, picture.mode, len(picture.getbands()), 1
            bits = stored_bits(picture)
            check_declared((*picture.size, bands), 1, size, max_voxels, RATIO if mode != "1" else 2**20)
            _check_end(path, size, str(kind))
            pages = getattr(picture, "n_frames", 1)
            picture.verify()  # the checksums; it closes the file
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
    except Image.DecompressionBombError:
        raise BadFile("K38", "declares more pixels than PIL decodes", "cut it into tiles") from None
    if mode == "P" and not label:
        raise BadFile("K36", "has a colour palette, whose numbers are no grey values", "save it as RGB or grey")
    facts = FileFacts(pixels.shape[1::-1], bands, str(pixels.dtype))
    if pages > 1:
        facts.faults.append(("warning", "K36", f"has {pages} pages, of which only the first is read"))
    if bits != 8 and not label:
        told = f"has {bits} bits a channel, and the classification bundles refuse what has not 8"
        facts.faults.append(("warning", "K36", told))
    voxels = Voxels(facts, label)
    voxels.add(pixels)
    return voxels.end()


def _check_end(path: Path, size: int, kind: str) -> None:
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if ENDS.get(kind, b"") not in tail:
        raise BadFile("K30", f"ends before a {kind} file does", "copy it again")
    if kind == "BMP" and int.from_bytes(start[2:], "little") > size:
        raise BadFile("K30", f"ends after {size} of {int.from_bytes(start[2:], 'little')} bytes", "copy it again")
