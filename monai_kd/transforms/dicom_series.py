# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from typing import Any

import numpy as np
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys
from pydicom import Dataset

from monai_kd.transforms.dicom_declared import check_declared
from monai_kd.transforms.dicom_files import DicomFile, read_file, reading, series_files
from monai_kd.transforms.dicom_meta import kept_tags, sop_class
from monai_kd.transforms.dicom_pixels import decode, is_inverted
from monai_kd.transforms.dicom_planes import Plane, pixel_spacing, read_planes
from monai_kd.transforms.dicom_stack import flat_affine, stack_planes
from monai_kd.transforms.dicom_tags import frame_group
from monai_kd.utils.errors import DataError

__all__ = ["read_series"]

ALIKE = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "Modality", "RescaleType")


def read_series(
    path: str | os.PathLike, series: str | None = None, max_voxels: int = 2**31
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read one DICOM image: a file, or the one series of a folder. pydicom alone decodes, so that no other package that
    happens to be installed changes a voxel.

    Values are the stored ones by RescaleSlope and RescaleIntercept (1 and 0 where absent; DoseGridScaling for a dose),
    or by the Modality LUT. MONOCHROME1 is turned round once, over the range of BitsStored and before rescaling, for
    pictures (CR, DX, IO, MG, OT, PX, RF, RG, XA without a unit in RescaleType); values with a unit, as the HU of CT,
    stay. YBR becomes RGB, and a palette RGB in its own range, 0 to 255 or to 65535. Planes are sorted by position along
    their normal; frames without a position keep their order, and the affine has the pixel spacing only.
    `meta["geometry"]` is "patient" or "none" accordingly.

    Args:
        path: the file or folder; hidden files, a DICOMDIR and files that are not DICOM are passed over in a folder.
        series: SeriesInstanceUID of the files to take, where a folder holds several series.
        max_voxels: most values that are read.

    Returns:
        The array, float32: [W, H] of one plane, [W, H, D] of several, with a last axis of 3 (RGB) if it has colour;
        the affine [4, 4] from indices to mm, RAS, as MONAI's readers give it (the third column of one plane is its
        normal, 1 mm); and what is known: MONAI's keys, `photometric`, `inverted`, `geometry`, `sop_class` and the tags
        of an allow-list. Nothing of the patient is kept.

    Raises:
        DataError: it is no image, is damaged, declares what it does not hold, holds more than one series, lacks a
            package for its transfer syntax, or has planes that make no even stack; names the file and the tag.

    Example::

        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_series import read_series
        >>> array, affine, meta = read_series(get_testdata_file("CT_small.dcm"))
        >>> array.shape, meta["Modality"], affine[:2, 3].tolist()
        ((128, 128), 'CT', [158.135803, 179.035797])
    """
    where = str(path)
    files = series_files(where, series)
    first = files[0]
    shapes = [_check(file, first) for file in files]
    frames, (_, rows, columns, samples) = [shape[0] for shape in shapes], shapes[0]
    count = rows * columns * samples * sum(frames)
    if count > max_voxels:
        raise DataError(f"declares {count} values, more than {max_voxels}", where=where)
    order, affine, placed = _place(files, frames, where)
    array = _stack(files, frames, order, (columns, rows))
    colour = array.ndim == 4
    if len(order) == 1:
        array = array[:, :, 0]
    with reading(first.where):
        facts = _facts(first.header, colour)
    meta = {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.array(array.shape[:-1] if colour else array.shape),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if colour else float("nan"),
        ImageMetaKey.FILENAME_OR_OBJ: where,
        "geometry": "patient" if placed else "none",
        **facts,
    }
    return np.ascontiguousarray(array), affine, {str(getattr(k, "value", k)): v for k, v in meta.items()}


def _check(file: DicomFile, first: DicomFile) -> tuple[int, int, int, int]:
    """Frames, rows, columns and samples, after all that can be told before decoding."""
    with reading(file.where):
        for keyword in ALIKE:
            if file.header.get(keyword) != first.header.get(keyword):
                raise DataError(f"its {keyword} differs from that of {first.where}", where=file.where)
        kind, several = file.header.get("SegmentationType"), len(file.header.get("SegmentSequence") or [])
        if kind == "FRACTIONAL" or (kind == "BINARY" and several > 1):
            what = f"is a segmentation of {several} segments, {kind}"
            raise DataError(what, where=file.where, why="only LABELMAP, or BINARY of one segment, is one volume")
        return check_declared(file.header, file.where)


def _stack(files: list[DicomFile], frames: list[int], order: list[int], size: tuple[int, int]) -> np.ndarray:
    """The decoded frames of all files in `order`, as [W, H, D] or [W, H, D, 3]."""
    slot = iter(np.argsort(order).tolist())
    array = np.empty(0, np.float32)
    for file, count in zip(files, frames, strict=True):
        with reading(file.where):
            pixels = decode(read_file(file.where), file.where)
        if not array.size:
            array = np.empty((*size, len(order), *pixels.shape[3:]), np.float32)
        for frame in range(count):
            array[:, :, next(slot)] = pixels[frame].swapaxes(0, 1)
    return array


def _facts(header: Dataset, colour: bool) -> dict[str, Any]:
    inverted = is_inverted(header)
    stored = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
    return {
        "photometric": "RGB" if colour else "MONOCHROME2" if inverted else stored,
        "inverted": inverted,
        "sop_class": sop_class(header).removeprefix("SOP class "),
        **kept_tags(header),
    }


def _place(files: list[DicomFile], frames: list[int], where: str) -> tuple[list[int], np.ndarray, bool]:
    """The order of all frames, their affine, and whether the files tell it."""
    planes: list[Plane] = []
    for file, count in zip(files, frames, strict=True):
        with reading(file.where):
            own = read_planes(file.header, count, file.where)
            if own is None and len(files) == 1:
                measures = frame_group(file.header, 0, "PixelMeasuresSequence") or file.header
                return list(range(count)), flat_affine(pixel_spacing(measures, file.where)), False
        if own is None:
            raise DataError("has no ImagePositionPatient, so its place in the series is not known", where=file.where)
        planes += own
    order, affine = stack_planes(planes, where)
    return order, affine, True
