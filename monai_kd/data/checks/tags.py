# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pydicom

from monai_kd.data.checks.facts import BadFile

__all__ = ["number", "numbers", "place", "spacing"]


def numbers(header: pydicom.Dataset, name: str) -> list[float]:
    """The numbers of a tag.

    Args:
        header: what holds it.
        name: of the tag.

    Raises:
        BadFile: K34, it holds none, or one that is not finite.
    """
    try:
        value = header[name].value
        found = [float(v) for v in (value if isinstance(value, pydicom.multival.MultiValue) else [value])]
    except (ValueError, TypeError, OverflowError):
        raise BadFile("K34", f"its {name} is not a number", "mend the tag") from None
    if not np.isfinite(found).all():
        raise BadFile("K34", f"its {name} is not finite", "mend the tag")
    return found


def number(header: pydicom.Dataset, name: str, default: float) -> float:
    """The first number of a tag.

    Args:
        header: what holds it.
        name: of the tag.
        default: where there is no such tag, or nothing in it.

    Raises:
        BadFile: K34, it is no finite number.

    Example::

        >>> import pydicom
        >>> from monai_kd.data.checks.tags import number
        >>> number(pydicom.Dataset(), "RescaleSlope", 1.0)
        1.0
    """
    if name not in header or header[name].value in (None, ""):
        return default
    return numbers(header, name)[0]


def spacing(header: pydicom.Dataset) -> tuple[float, ...] | None:
    """Spacing along (columns, rows), None if it is not told; the tag has it the other way.

    Args:
        header: of the file.

    Raises:
        BadFile: K34, it is not two numbers above 0.
    """
    if "PixelSpacing" not in header:
        return None
    found = numbers(header, "PixelSpacing")
    if len(found) != 2 or min(found) <= 0:
        raise BadFile("K34", f"its PixelSpacing is {found}, not two numbers above 0", "mend the tag")
    return found[1], found[0]


def place(header: pydicom.Dataset) -> np.ndarray | None:
    """[9] ImageOrientationPatient then ImagePositionPatient; None if one is missing.

    Args:
        header: of the file.

    Raises:
        BadFile: K34, they are not two directions and a point.
    """
    if "ImageOrientationPatient" not in header or "ImagePositionPatient" not in header:
        return None
    found = np.array([*numbers(header, "ImageOrientationPatient"), *numbers(header, "ImagePositionPatient")])
    if found.size != 9 or not np.allclose(np.linalg.norm(found[:6].reshape(2, 3), axis=1), 1, atol=1e-3):
        raise BadFile("K34", "its ImageOrientationPatient is not two unit vectors", "mend the tag")
    return found
