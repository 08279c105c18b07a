# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from monai_kd.data.checks.dicom import Slice, read_slice
from monai_kd.data.checks.facts import BadFile, FileFacts
from monai_kd.utils.dicom import TO_RAS, UNEVEN, dicom_files

__all__ = ["check_series"]


def check_series(folder: Path, label: bool, max_voxels: int) -> FileFacts:
    """Read a folder of DICOM files: one series, whose slices are alike and stand at equal distances.

    Args:
        folder: the folder; hidden files and a DICOMDIR are passed over.
        label: whether its voxels are classes.
        max_voxels: most values that are decoded from each file.

    Returns:
        The facts; `shape` is (columns, rows, slices), the affine is that of the sorted slices.

    Raises:
        BadFile: it cannot be used; names the file.

    Example::

        >>> import shutil, tempfile
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.data.checks.series import check_series
        >>> path = shutil.copy(get_testdata_file("CT_small.dcm"), tempfile.mkdtemp())
        >>> check_series(Path(path).parent, False, 2**31).shape
        (128, 128, 1)
    """
    slices = []
    files, others = dicom_files(folder)
    for path in files:
        try:
            slices.append(read_slice(path, label, max_voxels))
        except BadFile as bad:
            raise BadFile(bad.fault, f"{path.name}: {bad.what}", bad.fix) from bad
        except Exception as error:  # pydicom raises anything; the text may quote the header
            raise BadFile("K30", f"{path.name}: cannot be read ({type(error).__name__})", "copy it again") from error
    if not slices:
        raise BadFile("K30", "is a folder without DICOM files")
    series = Counter(one.series for one in slices)
    if len(series) > 1:
        counts = " and ".join(map(str, sorted(series.values(), reverse=True)))
        raise BadFile("K35", f"holds {len(series)} series, of {counts} files", "a folder for each series")
    facts = _joined(slices)
    if others:
        facts.faults.append(("warning", "K37", f"holds {others} files that are not DICOM"))
    return facts


def _joined(slices: list[Slice]) -> FileFacts:
    shapes = {(one.facts.shape, one.facts.channels, one.facts.spacing) for one in slices}
    if len(shapes) > 1:
        raise BadFile("K35", f"its slices are of {len(shapes)} shapes or spacings", "a folder for each series")
    facts = slices[0].facts
    slices, gap = _sorted(slices, facts.faults)
    place = slices[0].place
    if place is not None and facts.spacing and len(facts.shape) == 2 and gap:
        across, down = place[:3], place[3:6]
        affine = np.eye(4)
        affine[:3, :3] = np.stack([across * facts.spacing[0], down * facts.spacing[1], np.cross(across, down) * gap], 1)
        affine[:3, 3] = place[6:]
        facts.affine, facts.spacing = TO_RAS @ affine, (*facts.spacing, gap)
    facts.shape = (*facts.shape, len(slices))
    facts.sha256 = hashlib.sha256("".join(one.facts.sha256 for one in slices).encode()).hexdigest()
    facts.low, facts.high = min(one.facts.low for one in slices), max(one.facts.high for one in slices)
    facts.not_finite = sum(one.facts.not_finite for one in slices)
    facts.values = set().union(*(one.facts.values for one in slices))
    facts.fractions = sorted({value for one in slices for value in one.facts.fractions})[:5]
    return facts


def _sorted(slices: list[Slice], faults: list[tuple[str, str, str]]) -> tuple[list[Slice], float]:
    """The slices along their normal and the distance between two; 0 where it cannot be known."""
    places = [one.place for one in slices if one.place is not None]
    if len(places) < len(slices):
        what = f"{len(slices) - len(places)} slices have no position: their order and affine are not known"
        faults.append(("warning" if len(slices) == 1 else "error", "K34", what))
        return slices, 0.0
    if any(not np.allclose(place[:6], places[0][:6], atol=1e-3) for place in places):
        faults.append(("error", "K35", "its slices are turned to each other"))
        return slices, 0.0
    normal = np.cross(places[0][:3], places[0][3:6])
    heights = np.array([float(place[6:] @ normal) for place in places])
    order = np.argsort(heights, kind="stable")
    gaps, steps = np.diff(heights[order]), np.diff([places[i][6:] for i in order], axis=0)
    if gaps.size:
        if gaps.min() < 1e-4:
            faults.append(("error", "K35", "two of its slices are at one place"))
        elif np.linalg.norm(steps - np.median(steps, axis=0), axis=1).max() > UNEVEN * np.median(gaps):
            what = f"its slices stand {gaps.min():.4g} to {gaps.max():.4g} mm apart, unevenly"
            faults.append(("error", "K35", what))
    return [slices[i] for i in order], float(np.median(gaps)) if gaps.size else 0.0
