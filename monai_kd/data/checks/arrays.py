# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from monai_kd.data.checks.facts import BadFile, FileFacts, check_declared
from monai_kd.data.checks.voxels import Voxels, stream

__all__ = ["check_npy", "check_npz"]

DEFLATE = 1040  # the most that zip can save


def check_npy(path: Path, label: bool, max_voxels: int) -> FileFacts:
    """Read a `.npy` file to its last byte, a piece at a time; nothing in it is unpickled.

    Args:
        path: the file.
        label: whether its values are classes.
        max_voxels: most values that are read.

    Raises:
        BadFile: it cannot be used.

    Example::

        >>> import tempfile, numpy
        >>> from pathlib import Path
        >>> from monai_kd.data.checks.arrays import check_npy
        >>> path = Path(tempfile.mkdtemp()) / "a.npy"
        >>> numpy.save(path, numpy.zeros((4, 5)))
        >>> check_npy(path, False, 2**31).shape
        (4, 5)
    """
    with open(path, "rb") as file:
        return _array(file, os.path.getsize(path), label, max_voxels)


def check_npz(path: Path, label: bool, max_voxels: int) -> FileFacts:
    """As :func:`check_npy`, of a `.npz` file, whose checksums are verified; MONAI stacks its arrays as channels.

    Args:
        path: the file.
        label: whether its values are classes.
        max_voxels: most values that are read from each array.

    Raises:
        BadFile: it cannot be used.

    Example::

        >>> import tempfile, numpy
        >>> from pathlib import Path
        >>> from monai_kd.data.checks.arrays import check_npz
        >>> path = Path(tempfile.mkdtemp()) / "a.npz"
        >>> numpy.savez(path, numpy.zeros((4, 5)))
        >>> check_npz(path, False, 2**31).shape
        (4, 5)
    """
    found = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy"):
                raise BadFile("K30", "holds something that is no array")
            check_declared((member.file_size,), 1, member.compress_size, 16 * max_voxels, DEFLATE)
            with archive.open(member) as file:
                found.append(_array(file, member.file_size, label, max_voxels))
    if not found:
        raise BadFile("K30", "holds no array")
    if len({one.shape for one in found}) > 1:
        raise BadFile("K32", f"holds arrays of different shapes: {sorted({one.shape for one in found})}")
    facts = found[0]
    for other in found[1:]:
        facts.low, facts.high = min(facts.low, other.low), max(facts.high, other.high)
        facts.not_finite += other.not_finite
        facts.values |= other.values
        facts.fractions += other.fractions
        facts.sha256 += other.sha256
    facts.channels = len(found)
    return facts


def _array(file: IO[bytes], size: int, label: bool, max_voxels: int) -> FileFacts:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise BadFile("K30", f"is of version {version}, which is for records")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise BadFile("K30", "holds pickled objects, which are not read", "save plain numbers")
    if dtype.kind not in "buifc":
        raise BadFile("K30", f"holds {dtype}, no numbers")
    check_declared(shape, dtype.itemsize, size, max_voxels)
    voxels = Voxels(FileFacts(shape, 1, str(dtype), loose=True), label)
    for piece in stream(file.read, int(np.prod(shape, dtype=object)), dtype):
        voxels.add(piece)
    return voxels.end()
