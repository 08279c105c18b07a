# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_kd.transforms.dicom_planes import Plane
from monai_kd.utils.dicom import TO_RAS, UNEVEN
from monai_kd.utils.errors import DataError

__all__ = ["flat_affine", "stack_planes"]

SAME = 1e-4  # mm


def flat_affine(spacing: tuple[float, float] | None) -> np.ndarray:
    """The affine of pixels whose place is not told: their spacing along (columns, rows), else 1, and no turn.

    Args:
        spacing: mm between (columns, rows).

    Example::

        >>> from monai_kd.transforms.dicom_stack import flat_affine
        >>> flat_affine((0.5, 0.7)).diagonal().tolist()
        [0.5, 0.7, 1.0, 1.0]
    """
    return np.diag([*(spacing or (1.0, 1.0)), 1.0, 1.0])


def stack_planes(planes: list[Plane], where: str) -> tuple[list[int], np.ndarray]:
    """Sort planes along their normal and give the affine of the stack.

    Args:
        planes: one for each frame.
        where: the file or folder, for the error.

    Returns:
        The order, and the affine [4, 4] from (column, row, plane) to mm, RAS.

    Raises:
        DataError: they are turned to each other, two are at one place, or they stand unevenly.

    Example::

        >>> import numpy as np
        >>> from monai_kd.transforms.dicom_planes import Plane
        >>> from monai_kd.transforms.dicom_stack import stack_planes
        >>> axes = np.eye(3)[:2]
        >>> planes = [Plane("a.dcm", axes, np.array([0, 0, z]), (1, 1)) for z in (5.0, 0.0)]
        >>> order, affine = stack_planes(planes, "series")
        >>> order, affine[2].tolist()
        ([1, 0], [0.0, 0.0, 5.0, 0.0])
    """
    first = planes[0]
    for plane in planes:
        if not np.allclose(plane.axes, first.axes, atol=1e-4):
            raise DataError("its slices differ in ImageOrientationPatient", where=plane.where)
        if not np.allclose(plane.spacing, first.spacing, rtol=1e-4):
            raise DataError("its slices differ in PixelSpacing", where=plane.where)
    normal = np.cross(*first.axes)
    order = sorted(range(len(planes)), key=lambda index: float(planes[index].position @ normal))
    affine, step = np.eye(4), normal
    if len(planes) > 1:
        steps = np.diff([planes[index].position for index in order], axis=0)
        gaps = steps @ normal
        if gaps.min() < SAME:
            double = planes[order[int(gaps.argmin()) + 1]].where
            raise DataError("two of its slices are at one place", where=double, fix="a folder for each volume")
        usual = np.median(steps, axis=0)
        if np.linalg.norm(steps - usual, axis=1).max() > UNEVEN * np.median(gaps):
            raise DataError(f"its slices stand {gaps.min():.4g} to {gaps.max():.4g} mm apart, unevenly", where=where)
        if first.between and abs(gaps[0] / abs(first.between) - 1) > UNEVEN:
            what = f"its slices stand {gaps[0]:.4g} mm apart, and SpacingBetweenSlices is {first.between:.4g}"
            raise DataError(what, where=where, why="some are left out, or the tag is wrong")
        step = steps.mean(axis=0)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = *(first.axes.T * first.spacing).T, step
    affine[:3, 3] = planes[order[0]].position
    return order, TO_RAS @ affine
