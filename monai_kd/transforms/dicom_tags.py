# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from monai_kd.utils.errors import DataError

__all__ = ["frame_group", "number", "numbers", "rescale"]


def numbers(header: Dataset, keyword: str, where: str, count: int | None = None) -> list[float]:
    """The numbers of a tag.

    Args:
        header: what holds it.
        keyword: of the tag, "PixelSpacing".
        where: the file, for the error.
        count: how many there must be; None takes any.

    Raises:
        DataError: it is missing, is not of finite numbers, or there are more or fewer than `count`.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_tags import numbers
        >>> header = Dataset()
        >>> header.PixelSpacing = [0.5, 0.7]
        >>> numbers(header, "PixelSpacing", "slice.dcm", 2)
        [0.5, 0.7]
    """
    if keyword not in header:
        raise DataError(f"has no {keyword}", where=where)
    try:
        value: Any = header[keyword].value
        found = [float(v) for v in (value if isinstance(value, MultiValue | list | tuple) else [value])]
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"its {keyword} is not a number", where=where, fix="mend the tag") from error
    if not np.isfinite(found).all():
        raise DataError(f"its {keyword} is {found}, not finite", where=where, fix="mend the tag")
    if count is not None and len(found) != count:
        raise DataError(f"its {keyword} has {len(found)} numbers, not {count}", where=where, fix="mend the tag")
    return found


def number(header: Dataset, keyword: str, where: str, default: float | None = None) -> float:
    """The one number of a tag.

    Args:
        header: what holds it.
        keyword: of the tag.
        where: the file, for the error.
        default: where the tag is missing or empty; None makes that an error.

    Raises:
        DataError: as :func:`numbers`.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_tags import number
        >>> number(Dataset(), "RescaleSlope", "slice.dcm", 1.0)
        1.0
    """
    if default is not None and (keyword not in header or header.get_item(keyword).value in (None, "", b"")):
        return default
    return numbers(header, keyword, where, 1)[0]


def frame_group(header: Dataset, frame: int, keyword: str) -> Dataset | None:
    """What a multi-frame file says of one frame: the functional group of the frame, else the one all frames share.

    Args:
        header: of the file.
        frame: from 0.
        keyword: of the group, "PlanePositionSequence".

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_tags import frame_group
        >>> frame_group(Dataset(), 0, "PlanePositionSequence") is None
        True
    """
    for holder, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = header.get(holder) or []
        if len(groups) > index and groups[index].get(keyword):
            return groups[index][keyword][0]
    return None


def rescale(header: Dataset, frame: int, where: str) -> tuple[float, float]:
    """Slope and intercept from stored to real values: RescaleSlope and RescaleIntercept, for a dose DoseGridScaling.

    Args:
        header: of the file.
        frame: from 0; its functional group comes first.
        where: the file, for the error.

    Returns:
        (slope, intercept), 1 and 0 where nothing is said.

    Raises:
        DataError: one is not a finite number, or the slope is 0.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_tags import rescale
        >>> rescale(Dataset(), 0, "slice.dcm")
        (1.0, 0.0)
    """
    holder = frame_group(header, frame, "PixelValueTransformationSequence") or header
    keyword = "DoseGridScaling" if "DoseGridScaling" in header else "RescaleSlope"
    slope = number(holder, keyword, where, 1.0)
    if slope == 0:
        raise DataError(f"its {keyword} is 0, which makes all voxels alike", where=where, fix="mend the tag")
    return slope, number(holder, "RescaleIntercept", where, 0.0)
