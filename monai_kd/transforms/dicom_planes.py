# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from monai_kd.transforms.dicom_tags import frame_group, number, numbers
from monai_kd.utils.errors import DataError

__all__ = ["Plane", "pixel_spacing", "read_planes"]


@dataclass
class Plane:
    """Where one frame lies.

    Args:
        where: its file.
        axes: [2, 3] unit vectors: the way columns are counted, then the way rows are.
        position: [3] of the first pixel's centre, mm.
        spacing: mm between (columns, rows).
        between: mm between planes, as SpacingBetweenSlices of a multi-frame file tells; None if it does not.
    """

    where: str
    axes: np.ndarray
    position: np.ndarray
    spacing: tuple[float, float]
    between: float | None = None


def pixel_spacing(header: Dataset, where: str) -> tuple[float, float] | None:
    """Mm between (columns, rows); None where no PixelSpacing is told. The tag has rows first.

    Args:
        header: what holds it.
        where: the file, for the error.

    Raises:
        DataError: it is not two finite numbers above 0.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_planes import pixel_spacing
        >>> header = Dataset()
        >>> header.PixelSpacing = [0.5, 0.7]
        >>> pixel_spacing(header, "slice.dcm")
        (0.7, 0.5)
    """
    if "PixelSpacing" not in header:
        return None
    down, across = numbers(header, "PixelSpacing", where, 2)
    if min(down, across) <= 0:
        raise DataError(f"its PixelSpacing is {[down, across]}, not above 0", where=where, fix="mend the tag")
    return across, down


def read_planes(header: Dataset, frames: int, where: str) -> list[Plane] | None:
    """Where each frame of a file lies; None where the file does not tell.

    Args:
        header: of the file.
        frames: how many it has.
        where: its path.

    Raises:
        DataError: it tells only in part, or what cannot be.

    Example::

        >>> import pydicom
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_planes import read_planes
        >>> path = get_testdata_file("CT_small.dcm")
        >>> read_planes(pydicom.dcmread(path), 1, path)[0].spacing
        (0.661468, 0.661468)
    """
    told = len(header.get("PerFrameFunctionalGroupsSequence") or [])
    if told and told != frames:
        raise DataError(f"has {frames} frames, and tells of {told}", where=where)
    if told:
        planes = [_plane(header, frame, where) for frame in range(frames)]
        known = [plane for plane in planes if plane is not None]
        if known and len(known) < frames:
            raise DataError(f"tells the position of {len(known)} of its {frames} frames", where=where)
        return known or None
    offsets = [0.0]
    if frames > 1:
        if "GridFrameOffsetVector" not in header:
            return None
        offsets = numbers(header, "GridFrameOffsetVector", where, frames)
        if offsets[0] != 0:
            raise DataError(f"its GridFrameOffsetVector starts with {offsets[0]:g}, not 0", where=where)
    first = _plane(header, 0, where)
    if first is None:
        return None
    normal = np.cross(*first.axes)
    return [Plane(where, first.axes, first.position + offset * normal, first.spacing) for offset in offsets]


def _plane(header: Dataset, frame: int, where: str) -> Plane | None:
    holders = {
        "ImageOrientationPatient": frame_group(header, frame, "PlaneOrientationSequence") or header,
        "ImagePositionPatient": frame_group(header, frame, "PlanePositionSequence") or header,
    }
    measures = frame_group(header, frame, "PixelMeasuresSequence") or header
    missing = [keyword for keyword, holder in holders.items() if keyword not in holder]
    if len(missing) == 2:
        return None
    spacing = pixel_spacing(measures, where)
    if missing or spacing is None:
        raise DataError(f"has no {(missing or ['PixelSpacing'])[0]}, so its place is not known", where=where)
    keyword = "ImageOrientationPatient"
    axes = np.array(numbers(holders[keyword], keyword, where, 6)).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise DataError(f"its {keyword} is not two unit vectors at a right angle", where=where, fix="mend the tag")
    position = np.array(numbers(holders["ImagePositionPatient"], "ImagePositionPatient", where, 3))
    between = None if measures is header else number(measures, "SpacingBetweenSlices", where, 0.0) or None
    return Plane(where, axes, position, spacing, between)
