# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from monai_kd.data.checks.facts import BadFile, FileFacts, check_declared
from monai_kd.data.checks.voxels import Voxels, stream

__all__ = ["check_nifti"]

HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
DEFLATE = 1040  # the most that gzip can save
SKIP = 2**16


def check_nifti(path: Path, label: bool, max_voxels: int) -> FileFacts:
    """Read a NIfTI file to its last byte, a piece at a time; that of a `.nii.gz` verifies its checksum.

    Args:
        path: `.nii` or `.nii.gz`.
        label: whether its voxels are classes.
        max_voxels: most voxels that are read.

    Raises:
        BadFile: it cannot be used.

    Example::

        >>> import tempfile, nibabel, numpy
        >>> from pathlib import Path
        >>> from monai_kd.data.checks.nifti import check_nifti
        >>> path = Path(tempfile.mkdtemp()) / "a.nii.gz"
        >>> nibabel.save(nibabel.Nifti1Image(numpy.ones((4, 5, 6), "int16"), numpy.eye(4)), path)
        >>> check_nifti(path, True, 2**31).values
        {1}
    """
    size, packed = os.path.getsize(path), path.name.lower().endswith(".gz")
    with gzip.open(path) if packed else open(path, "rb") as file:
        header, length = _header(file.read(540))
        shape = _shape(header)
        dtype = _dtype(header)
        check_declared(shape, dtype.itemsize, size, max_voxels, DEFLATE if packed else 1)
        offset = float(header["vox_offset"])
        if not length + 4 <= offset <= size * (DEFLATE if packed else 1):
            raise BadFile("K38", "declares that its voxels start where they cannot")
        file.seek(0)
        for start in range(0, int(offset), SKIP):  # not a seek: a gzip file may be damaged here too
            file.read(min(SKIP, int(offset) - start))
        spatial = shape[:3]
        affine, spacing, faults = _geometry(header, len(spatial))
        slope, inter = _scaling(header)
        count = int(np.prod(shape, dtype=object))
        fields = len(dtype.fields) if dtype.fields else 1  # of a colour
        stored = np.dtype(np.uint8) if dtype.fields else dtype
        channels = int(np.prod(shape[3:], dtype=object)) * fields
        facts = FileFacts(spatial, channels, str(dtype if not dtype.fields else "rgb"), faults=faults)
        facts.affine, facts.spacing = affine, spacing
        voxels = Voxels(facts, label, slope, inter)
        for piece in stream(file.read, count * fields, stored):
            voxels.add(piece)
    return voxels.end()


def _header(block: bytes) -> tuple[Any, int]:
    for order in ("little", "big"):
        length = int.from_bytes(block[:4], order)
        if length in HEADERS and len(block) >= length:
            header = HEADERS[length](block[:length], check=False)
            if bytes(header["magic"])[:3].rstrip(b"\0") not in (b"n+1", b"n+2"):
                raise BadFile("K30", "is not one NIfTI file: its header says so", "convert it to .nii.gz")
            return header, length
    what = "has no NIfTI header" if len(block) >= 348 else f"ends after {len(block)} bytes, within its header"
    raise BadFile("K30", what, "copy it again")


def _shape(header: Any) -> tuple[int, ...]:
    axes = int(header["dim"][0])
    if not 2 <= axes <= 7:
        raise BadFile("K38", f"declares {axes} axes")
    shape = [int(length) for length in header["dim"][1 : axes + 1]]
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def _dtype(header: Any) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except HeaderDataError:
        raise BadFile("K30", "declares a type of voxels that does not exist") from None
    if dtype.itemsize * 8 != int(header["bitpix"]):
        raise BadFile("K38", f"declares {dtype} voxels of {int(header['bitpix'])} bits")
    return dtype


def _scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN means none, to nibabel and to the standard."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not np.isfinite([slope, inter]).all():
        raise BadFile("K34", "its scl_slope or scl_inter is not finite", "write it again with finite ones")
    return slope, inter


def _geometry(header: Any, axes: int) -> tuple[np.ndarray, tuple[float, ...], list[tuple[str, str, str]]]:
    zooms = np.asarray(header["pixdim"][1 : axes + 1], np.float64)
    if not (np.isfinite(zooms).all() and (zooms > 0).all()):
        raise BadFile("K34", f"its spacing pixdim is {zooms.tolist()}", "write it again with the true spacing")
    try:
        affine = np.asarray(header.get_best_affine(), np.float64)
    except (HeaderDataError, ValueError):
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :axes]) < axes:
        raise BadFile("K34", "its affine is not finite or cannot be inverted", "write it again with the true affine")
    spacing = np.linalg.norm(affine[:3, :axes], axis=0)
    faults = []
    if int(header["sform_code"]) == int(header["qform_code"]) == 0:
        faults.append(("warning", "K34", "says nothing of its orientation: neither sform nor qform"))
    elif not np.allclose(spacing, zooms, rtol=1e-2):
        told = f"{np.round(zooms, 4).tolist()} by pixdim, {np.round(spacing, 4).tolist()} by its affine"
        faults.append(("warning", "K32", f"has two spacings: {told}"))
    return affine, tuple(spacing.tolist()), faults
