# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os

from monai_kd.data import check_dataset
from monai_kd.data.checks.report import DatasetReport
from monai_kd.utils import write_text

__all__ = ["check_data"]


def check_data(
    dataset: str | os.PathLike,
    num_classes: int | None = None,
    multilabel: bool = False,
    json_file: str | os.PathLike | None = None,
    workers: int = 1,
    checksums: str | os.PathLike | None = None,
) -> tuple[str, int]:
    """Check a data set before training: every file to its last byte, labels, geometry, classes, leaks.

    Args:
        dataset: a `dataset.json`, or its folder.
        num_classes: labels are 0 to num_classes - 1; by default the number of `labels` in the file.
        multilabel: labels are lists of zeros and ones; by default they are if one of them is a list.
        json_file: where to write all findings, counts and ranges; the text shows the first 50.
        workers: threads that read files.
        checksums: a file as of `sha256sum`: written if it is not there and no error is found, else compared.

    Returns:
        The text, and the exit status: 1 if there is an error.

    Raises:
        DataError: there is no `dataset.json`, or it is none; a line of `checksums` is no checksum.

    Example::

        >>> import tempfile
        >>> from monai_kd.commands.check_data import check_data
        >>> from monai_kd.data import write_ihc_patches
        >>> text, status = check_data(write_ihc_patches(tempfile.mkdtemp(), stride=32))
        >>> print(text.splitlines()[0], status)
        training: 160 cases (0: 28, 1: 31, 2: 101) 0
    """
    there = checksums is not None and os.path.isfile(checksums)
    report = check_dataset(dataset, num_classes, multilabel or None, workers=workers, checksums=checksums)
    if json_file is not None:
        write_text(json_file, json.dumps(report.to_json(), indent=1) + "\n")
    done = "compared" if there else "written" if report.ok else "not written, for there are errors"
    told = f"{checksums}: {done}" if checksums is not None else ""
    return "\n".join(filter(None, [*_counts(report), report.table(), told, _end(report)])), int(not report.ok)


def _counts(report: DatasetReport) -> list[str]:
    lines = []
    for section, number in report.cases.items():
        classes = ", ".join(f"{c}: {n}" for c, n in report.classes[section].items())
        lines.append(f"{section}: {number} cases" + (f" ({classes})" if classes else ""))
    for name, ranges in (("shape", report.shapes), ("spacing", report.spacings)):
        for key, (low, high) in ranges.items():
            small, large = (" x ".join(f"{value:.4g}" for value in values) for values in (low, high))
            lines.append(f"{key}: {name} {small}" + (f" to {large}" if large != small else ""))
    return lines


def _end(report: DatasetReport) -> str:
    counts = report.counts()
    return f"{counts['error']} errors, {counts['warning']} warnings"
