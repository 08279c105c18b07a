# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from monai_kd.data.checks.facts import BadFile, FileFacts

__all__ = ["Voxels", "stream"]

CHUNK = 2**20  # bytes in memory at a time, whatever a header declares
KEPT = 1000  # distinct values of a label file that are remembered
LARGEST = float(np.finfo(np.float32).max)


def stream(read: Callable[[int], bytes], count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Read `count` values in small pieces, then make sure that nothing follows.

    Args:
        read: gives the next bytes, as `file.read` does.
        count: declared number of values.
        dtype: of each.

    Raises:
        BadFile: K30 if the file ends before, K38 if it does not end then.
    """
    left, step = count * dtype.itemsize, CHUNK // dtype.itemsize * dtype.itemsize
    while left:
        piece = read(min(step, left))
        if len(piece) < min(step, left):
            whole = count * dtype.itemsize
            raise BadFile("K30", f"ends after {whole - left + len(piece)} of {whole} bytes", "copy it again")
        left -= len(piece)
        yield np.frombuffer(piece, dtype)
    if read(1):  # at its end a gzip file, or one in a zip file, compares its checksum
        raise BadFile("K38", "goes on after the last voxel that its header declares")


class Voxels:
    """Look at the voxels of a file as they come, a piece at a time.

    Args:
        facts: where to write what they are.
        label: whether they are classes.
        slope: what stored numbers are multiplied by.
        inter: what is added then.
    """

    def __init__(self, facts: FileFacts, label: bool, slope: float = 1.0, inter: float = 0.0) -> None:
        self.facts, self.label, self.slope, self.inter = facts, label, slope, inter
        self.hash = hashlib.sha256(f"{facts.dtype} {facts.shape} {facts.channels}".encode())

    def add(self, piece: np.ndarray) -> None:
        """Take the next voxels, in any shape."""
        self.hash.update(np.ascontiguousarray(piece).data)
        values = piece.ravel()
        if values.dtype.kind == "c":
            values = np.concatenate([values.real, values.imag])
        if values.dtype.kind == "b":
            values = values.view(np.uint8)
        if (self.slope, self.inter) != (1.0, 0.0):
            values = values * np.float64(self.slope) + self.inter
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if values.dtype.itemsize > 4:
                finite &= np.abs(values) <= LARGEST
            if not finite.all():
                self.facts.not_finite += int(values.size - np.count_nonzero(finite))
                values = values[finite]
        if values.size:
            self.facts.low = min(self.facts.low, float(values.min()))
            self.facts.high = max(self.facts.high, float(values.max()))
            if self.label and len(self.facts.values) < KEPT:
                self._classes(values)

    def _classes(self, values: np.ndarray) -> None:
        if values.dtype.kind == "f":
            whole = values == np.rint(values)
            if not whole.all():
                self.facts.fractions += np.unique(values[~whole])[:5].tolist()
                values = values[whole]
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        if values.size and high - low < 2**16:  # counting is faster than sorting
            found = np.flatnonzero(np.bincount((values.astype(np.float64) - low).astype(np.int64))) + int(low)
        else:
            found = np.unique(values)[:KEPT]
        self.facts.values.update(map(int, found))

    def end(self) -> FileFacts:
        """All voxels have been seen."""
        self.facts.sha256 = self.hash.hexdigest()
        self.facts.fractions = sorted(set(self.facts.fractions))[:5]
        return self.facts
