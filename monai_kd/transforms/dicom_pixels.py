# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
from pydicom import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import UID

from monai_kd.transforms.dicom_tags import number, rescale
from monai_kd.utils.errors import DataError

__all__ = ["decode", "is_inverted"]

PICTURES = ("CR", "DX", "IO", "MG", "OT", "PX", "RF", "RG", "XA")  # made to be looked at: values have no unit


def is_inverted(header: Dataset) -> bool:
    """Whether the stored values of a file are turned round: MONOCHROME1, and made to be looked at.

    MONOCHROME1 says only that the least value is shown white (PS3.3 C.7.6.3.1.2). Values with a unit stay as they are:
    all of CT, MR, PT, NM, dose and whatever is not listed, and any RescaleType but US (unspecified).

    Args:
        header: of the file.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_pixels import is_inverted
        >>> header = Dataset()
        >>> header.PhotometricInterpretation = "MONOCHROME1"
        >>> [is_inverted(header) for header.Modality in ("DX", "CT")]
        [True, False]
    """
    shown = header.get("Modality") in PICTURES and (header.get("RescaleType") or "US") == "US"
    return shown and header.get("PhotometricInterpretation") == "MONOCHROME1"


def decode(header: Dataset, where: str) -> np.ndarray:
    """Decode all frames of one file, with colours as RGB and values rescaled.

    Args:
        header: of the whole file.
        where: its path.

    Returns:
        [frames, rows, columns], or [frames, rows, columns, 3] for colour, float32.

    Raises:
        DataError: a package is missing, the pixels are damaged, or their values cannot be made out.

    Example::

        >>> import pydicom
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_pixels import decode
        >>> path = get_testdata_file("CT_small.dcm")
        >>> decode(pydicom.dcmread(path), path).shape
        (1, 128, 128)
    """
    stored, kind = _stored(header, where)
    segments = header.get("Modality") == "SEG"  # a palette there only says how to show a class
    if kind == "PALETTE COLOR" and not segments:
        stored, kind = apply_color_lut(stored, header)[..., :3], "RGB"
    if kind not in ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR"):
        raise DataError(f"its colours are {kind}, which cannot be turned into RGB", where=where)
    frames = int(number(header, "NumberOfFrames", where, 1.0))
    stored = stored.reshape(frames, header.Rows, header.Columns, *([3] if kind == "RGB" else []))
    if kind == "RGB":
        return stored.astype(np.float32)
    lut = bool(header.get("ModalityLUTSequence"))
    if is_inverted(header):
        if lut or stored.dtype.kind == "f":
            raise DataError("is MONOCHROME1 with a Modality LUT or fractions, which is not read", where=where)
        bits = int(number(header, "BitsStored", where))
        stored = (-1 if stored.dtype.kind == "i" else 2**bits - 1) - stored.astype(np.int64)
    if lut:
        stored = apply_modality_lut(stored, header)
    values = np.empty(stored.shape, np.float32)
    for frame, pixels in enumerate(stored):
        slope, intercept = (1.0, 0.0) if lut else rescale(header, frame, where)
        with np.errstate(over="ignore"):
            values[frame] = pixels.astype(np.float64) * slope + intercept
        if stored.dtype.kind != "f" and not math.isfinite(float(values[frame].sum(dtype=np.float64))):
            raise DataError(
                f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} make values infinite", where=where
            )
    return values


def _stored(header: Dataset, where: str) -> tuple[np.ndarray, str]:
    """The stored values and what they mean, YBR turned into RGB."""
    syntax = UID(header.file_meta.TransferSyntaxUID)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise DataError(f"transfer syntax {syntax.name} is not one pydicom decodes", where=where) from error
    packages = _missing(decoder)
    if not decoder.is_available:
        raise DataError(f"transfer syntax {syntax.name} needs package {packages}", where=where, fix="install one")
    if "HighBit" in header and header.HighBit != number(header, "BitsStored", where) - 1:
        raise DataError(f"its HighBit is {header.HighBit}, and BitsStored {header.BitsStored}", where=where)
    try:
        pixels, facts = decoder.as_array(header, raw=False)
    except Exception as error:  # pydicom and its plugins raise anything; the text may quote the header
        what = f"its pixels cannot be decoded (transfer syntax {syntax.name}, {type(error).__name__})"
        why = f"they are damaged, or of a kind that needs package {packages}" if packages else "they are damaged"
        raise DataError(what, where=where, why=why) from error
    return pixels, str(facts["photometric_interpretation"])


def _missing(decoder: Decoder) -> str:
    """The packages that would let pydicom decode, and are not installed; gdcm is left out, it is rarely to be had."""
    told = [line.partition(" - requires ")[2] for line in decoder.missing_dependencies if "gdcm" not in line]
    return " or ".join(packages.removeprefix("numpy, ").removeprefix("numpy and ") for packages in told)
