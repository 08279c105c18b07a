# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import nibabel as nib
import numpy as np

from monai_kd.data.checks.facts import FileFacts
from monai_kd.data.checks.report import Finding

__all__ = ["compare_geometry", "mixtures", "ranges"]

SPACING, PLACE = 0.01, 0.1  # how far spacings (relative) and corners (in voxels) may be apart
SHOWN = 3


def compare_geometry(one: FileFacts, other: FileFacts) -> str:
    """What differs between two files of one case that must lie on one grid; empty if nothing does.

    Args:
        one: such as the image.
        other: such as its label.

    Example::

        >>> from monai_kd.data.checks.geometry import compare_geometry
        >>> from monai_kd.data.checks.voxels import FileFacts
        >>> compare_geometry(FileFacts((8, 8), 3, "uint8"), FileFacts((8, 9), 1, "uint8"))
        'shape 8 x 9, not 8 x 8'
    """
    first, second = _plain(one.shape), _plain(other.shape)
    if first != second and not (_within(one, second) or _within(other, first)):
        return f"shape {_times(second)}, not {_times(first)}"
    if one.affine is not None and other.affine is not None:
        turned, there = _axes(one.affine), _axes(other.affine)
        if turned != there:
            return f"orientation {there}, not {turned}"
    if one.spacing and other.spacing and len(one.spacing) == len(other.spacing):
        if not np.allclose(one.spacing, other.spacing, rtol=SPACING):
            return f"spacing {_millimetres(other.spacing)}, not {_millimetres(one.spacing)}"
    if one.affine is not None and other.affine is not None and one.spacing:
        corners = np.array([*np.ndindex(2, 2, 2)]) * (np.array([*one.shape, 1, 1][:3]) - 1)
        moved = corners @ (one.affine - other.affine)[:3, :3].T + (one.affine - other.affine)[:3, 3]
        apart = float(np.linalg.norm(moved, axis=1).max())
        if apart > PLACE * min(one.spacing):
            return f"a place up to {apart:.4g} mm away"
    return ""


def mixtures(files: Iterable[tuple[str, FileFacts]]) -> Iterator[Finding]:
    """Warn of files of one key that are not alike: a batch of them would fail, or mix what does not belong together.

    Args:
        files: (key, facts) of all of them.
    """
    found: dict[str, list[FileFacts]] = defaultdict(list)
    for key, facts in files:
        found[key].append(facts)
    for key, all_of_it in found.items():
        kinds = {
            "orientations": [_axes(f.affine) for f in all_of_it if f.affine is not None],
            "spacings": [_millimetres(f.spacing) for f in all_of_it if f.spacing],
            "types": [f.dtype for f in all_of_it],
            "numbers of channels": [str(f.channels) for f in all_of_it],
            "numbers of axes": [str(len(_plain(f.shape))) for f in all_of_it],
        }
        for kind, values in kinds.items():
            counts = Counter(values)
            if len(counts) > 1:
                shown = ", ".join(f"{n} x {value}" for value, n in counts.most_common(SHOWN))
                more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
                fix = {"orientations": "Orientationd", "spacings": "Spacingd"}.get(kind, "")
                yield Finding("warning", "K32", f"{key}: mixed {kind}: {shown}{more}", fix=fix)


def ranges(values: Iterable[tuple[float, ...]]) -> list[list[float]]:
    """Smallest and largest along each axis; of those with most axes if they differ.

    Args:
        values: shapes or spacings.

    Example::

        >>> from monai_kd.data.checks.geometry import ranges
        >>> ranges([(4, 9), (5, 8)])
        [[4, 8], [5, 9]]
    """
    rows = list(values)
    most = max(map(len, rows), default=0)
    columns = list(zip(*(row for row in rows if len(row) == most), strict=True))
    return [[min(column) for column in columns], [max(column) for column in columns]]


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _within(array: FileFacts, shape: tuple[int, ...]) -> bool:
    return array.loose and shape in (array.shape[1:], array.shape[:-1])


def _axes(affine: np.ndarray) -> str:
    return "".join(map(str, nib.aff2axcodes(affine)))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing) + " mm"
