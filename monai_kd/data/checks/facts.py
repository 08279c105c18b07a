# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["BadFile", "FileFacts", "check_declared"]


class BadFile(Exception):
    """A file that cannot be used; it becomes a finding and never reaches the user.

    Args:
        fault: which kind of fault, such as `K30`.
        what: what is wrong, without anything that a header says of a patient.
        fix: what to do about it.
    """

    def __init__(self, fault: str, what: str, fix: str = "") -> None:
        super().__init__(fault, what, fix)
        self.fault, self.what, self.fix = fault, what, fix


@dataclass
class FileFacts:
    """What a file holds.

    Args:
        shape: along the spatial axes, in the order of MONAI's readers.
        channels: values at each voxel.
        dtype: as stored.
        sha256: of its voxels, shape and dtype; equal for equal images, however they are compressed.
        affine: [4, 4], None if the file has none.
        spacing: along the spatial axes, None if the file has none.
        low: smallest finite value.
        high: largest finite value.
        not_finite: number of voxels that are NaN, infinite or beyond float32.
        values: the whole numbers in it, of a label; the first thousand.
        fractions: some numbers in it that are not whole, of a label.
        faults: (severity, fault, what) of a file that can be read.
        loose: one more axis than `shape` of another file may be the channels; so of an array, which does not say.
    """

    shape: tuple[int, ...]
    channels: int
    dtype: str
    sha256: str = ""
    affine: np.ndarray | None = None
    spacing: tuple[float, ...] | None = None
    low: float = float("inf")
    high: float = float("-inf")
    not_finite: int = 0
    values: set[int] = field(default_factory=set)
    fractions: list[float] = field(default_factory=list)
    faults: list[tuple[str, str, str]] = field(default_factory=list)
    loose: bool = False


def check_declared(shape: tuple[int, ...], itemsize: int, size: int, max_voxels: int, ratio: int = 1) -> None:
    """Refuse a size that a header declares and the file cannot hold, before anything of that size is allocated.

    Args:
        shape: declared.
        itemsize: bytes of a voxel.
        size: bytes of the file.
        max_voxels: most voxels that are read.
        ratio: how far its compression can go.

    Raises:
        BadFile: K38.

    Example::

        >>> from monai_kd.data.checks.facts import check_declared
        >>> check_declared((30000, 30000, 30000), 4, 352, 2**31)
        Traceback (most recent call last):
        monai_kd.data.checks.facts.BadFile: ('K38', 'declares 30000 x 30000 x 30000 voxels, more than ...
    """
    voxels, declared = 1, " x ".join(map(str, shape))
    for length in shape:
        if length <= 0:
            raise BadFile("K38", f"declares {declared} voxels")
        voxels *= length
    if voxels > max_voxels:
        raise BadFile("K38", f"declares {declared} voxels, more than {max_voxels}", "raise max_voxels if it is true")
    if voxels * itemsize > size * ratio:
        raise BadFile("K38", f"declares {declared} voxels of {itemsize} bytes, the file has {size} bytes: cut or lying")
