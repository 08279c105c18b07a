# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from monai_kd.data.checks.facts import BadFile, FileFacts, check_declared
from monai_kd.data.checks.tags import number, place, spacing
from monai_kd.data.checks.voxels import Voxels
from monai_kd.utils.dicom import DEFER, RATIO

__all__ = ["Slice", "check_dicom", "quiet", "read_slice"]

DEFLATE = 1040  # the most that the deflated syntax can save
UNDEFINED = 0xFFFFFFFF


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from quoting the header in its warnings and its log; what they are about is checked here.

    Example::

        >>> from monai_kd.data.checks.dicom import quiet
        >>> with quiet():
        ...     pass
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@dataclass
class Slice:
    """A DICOM file and its place.

    Args:
        facts: what it holds; `shape` is (columns, rows), then frames if there are some, as MONAI's readers give it.
        series: its SeriesInstanceUID; it is compared, and never printed.
        place: [9] ImageOrientationPatient then ImagePositionPatient, None if one is missing.
    """

    facts: FileFacts
    series: str
    place: np.ndarray | None


def check_dicom(path: Path, label: bool, max_voxels: int) -> FileFacts:
    """Read one DICOM file to its last byte. Nothing that its header says of a patient is kept.

    Args:
        path: the file.
        label: whether its pixels are classes.
        max_voxels: most values that are decoded.

    Raises:
        BadFile: it cannot be used.

    Example::

        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.data.checks.dicom import check_dicom
        >>> check_dicom(Path(get_testdata_file("CT_small.dcm")), False, 2**31).shape
        (128, 128)
    """
    return read_slice(path, label, max_voxels).facts


def read_slice(path: Path, label: bool, max_voxels: int) -> Slice:
    """As :func:`check_dicom`, with the place and the series.

    Args:
        path: the file.
        label: whether its pixels are classes.
        max_voxels: most values that are decoded.

    Raises:
        BadFile: it cannot be used.
    """
    size = os.path.getsize(path)
    header = pydicom.dcmread(path, defer_size=DEFER)
    if getattr(header.file_meta.get("TransferSyntaxUID"), "is_deflated", False):
        header, size = pydicom.dcmread(path), size * DEFLATE
    for tag in list(header.keys()):
        raw: Any = header.get_item(tag, keep_deferred=True)
        length = getattr(raw, "length", 0)
        if length != UNDEFINED and getattr(raw, "value_tell", 0) + length > size:
            raise BadFile("K30", f"ends after {size} bytes, within the value of {tag}", "copy it again")
    shape = _declared(header, size, max_voxels)
    slope, inter = number(header, "RescaleSlope", 1.0), number(header, "RescaleIntercept", 0.0)
    if slope == 0:
        raise BadFile("K34", "its RescaleSlope is 0, which makes all voxels alike")
    try:
        pixels = header.pixel_array
    except Exception as error:  # pydicom and its plugins raise anything; the text may quote the header
        missing = isinstance(error, (RuntimeError, NotImplementedError))
        fix = "install the packages of monai_kd[dicom], or save it uncompressed" if missing else "copy it again"
        kind = type(error).__name__
        raise BadFile("K36" if missing else "K30", f"its pixels cannot be decoded ({kind})", fix) from error
    frames, rows, columns, samples = shape
    facts = FileFacts((columns, rows, frames) if frames > 1 else (columns, rows), samples, str(pixels.dtype))
    facts.spacing = spacing(header)
    voxels = Voxels(facts, label, slope, inter)
    voxels.add(pixels)
    return Slice(voxels.end(), str(header.get("SeriesInstanceUID", "")), place(header))


def _declared(header: pydicom.Dataset, size: int, max_voxels: int) -> tuple[int, int, int, int]:
    """Frames, rows, columns and samples, compared with the bytes that are there."""
    name = next((n for n in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if n in header), None)
    if name is None or "Rows" not in header or "Columns" not in header:
        raise BadFile("K37", "holds no pixels, or is cut before them", "take it off the list")
    frames = int(number(header, "NumberOfFrames", 1))
    rows, columns = int(number(header, "Rows", 0)), int(number(header, "Columns", 0))
    samples = int(number(header, "SamplesPerPixel", 1))
    bits = int(number(header, "BitsAllocated", {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(name, 0)))
    shape = (frames or 1, rows, columns, samples)
    syntax = getattr(header.file_meta, "TransferSyntaxUID", None)
    packed = bool(syntax and syntax.is_encapsulated)
    halved = header.get("PhotometricInterpretation") == "YBR_FULL_422"
    ratio = RATIO if packed else 2 if halved else 1
    check_declared(shape, max(bits // 8, 1), size if bits >= 8 else 8 * size, max_voxels, ratio)
    if not packed:
        raw: Any = header.get_item(name, keep_deferred=True)
        length = raw.length if hasattr(raw, "length") else len(raw.value)
        row = columns * samples * bits / 8 * (2 / 3 if halved else 1)
        if not row * rows * shape[0] <= length <= row * (rows * shape[0] + 1) + 1:  # some writers pad
            what = f"declares {row * rows * shape[0]:.0f} bytes of pixels, and holds {length}"
            raise BadFile("K38", what, "copy it again")
    return shape
