# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from monai_kd.data.checks.case import check_case, find_files, job
from monai_kd.data.checks.checksums import compare_checksums, write_checksums
from monai_kd.data.checks.dicom import quiet
from monai_kd.data.checks.facts import BadFile, FileFacts
from monai_kd.data.checks.files import check_file
from monai_kd.data.checks.geometry import mixtures, ranges
from monai_kd.data.checks.labels import check_classes
from monai_kd.data.checks.leaks import Case, check_folds, check_leaks, name_parts
from monai_kd.data.checks.report import DatasetReport, Finding
from monai_kd.data.checks.vectors import check_vectors, vector_lengths
from monai_kd.data.class_labels import count_classes
from monai_kd.data.datalist import SECTIONS
from monai_kd.utils import read_json
from monai_kd.utils.errors import DataError

__all__ = ["check_dataset"]


def check_dataset(
    path: str | os.PathLike,
    num_classes: int | None = None,
    multilabel: bool | None = None,
    keys: Sequence[str] | None = None,
    max_voxels: int = 2**31,
    workers: int = 1,
    checksums: str | os.PathLike | None = None,
) -> DatasetReport:
    """Read a whole data set before training and say all that is wrong with it; nothing stops at the first fault.

    Each file is read to its last byte (with its checksum, where it has one) and must hold finite numbers; a header that
    declares more than the file can hold is not believed, so nothing of that size is allocated. The files of a case must
    lie on one grid, labels must be in range, and no patient and no image may be in two sections or folds. Side vectors,
    lists of numbers, must be of one length and finite.

    A flipped bit in a file without a checksum of its own (`.nii`, `.dcm`, `.npy`, `.bmp`) is still an image. It is
    found with `checksums`: the SHA-256 of every file and of the list, from when they were last known to be sound.

    Args:
        path: a `dataset.json` (see :func:`load_datalist`), or its folder.
        num_classes: labels are 0 to num_classes - 1; None takes the number of `labels` in the file, if they name
            every class from 0.
        multilabel: a label is a list of zeros and ones; None looks.
        keys: of the files and side vectors of an item, besides its label; None takes `image` and all that look like
            files or lists of numbers.
        max_voxels: most voxels of one file; a header that declares more is refused.
        workers: threads that read files.
        checksums: a file as of `sha256sum`, with paths from the list's folder. If there is none it is written, unless
            an error was found; otherwise a file that changed, has no checksum in it, or is gone is an error. With other
            `keys` there are other files.

    Returns:
        The findings, and how many cases there are of each class.

    Raises:
        DataError: there is no `dataset.json`, or it is none; a line of `checksums` is no checksum.
        CheckpointWriteError: `checksums` cannot be written.

    Example::

        >>> import tempfile
        >>> from monai_kd.data import check_dataset, write_ihc_patches
        >>> report = check_dataset(write_ihc_patches(tempfile.mkdtemp(), stride=32), num_classes=3)
        >>> report.ok, report.cases["training"]
        (True, 160)
    """
    file = Path(path) / "dataset.json" if os.path.isdir(path) else Path(path)
    if not file.is_file():
        raise DataError("there is no such file", where=str(file), fix="name a dataset.json or its folder")
    content = read_json(file)
    if not isinstance(content, Mapping):
        raise DataError("is no data set", where=str(file), fix='{"training": [{"image": ..., "label": ...}]}')
    if num_classes is None:
        num_classes = count_classes(content)
    report = DatasetReport()
    cases = _cases(content, report.findings)
    if multilabel is None:
        multilabel = any(isinstance(case.raw.get("label"), list) for case in cases)
    for case in cases:
        report.findings += find_files(case, keys, file.parent)
    read = _read(file.parent, cases, max_voxels, workers)
    unlabeled = "test" if all(case.raw.get("label") is None for case in cases if case.section == "test") else ""
    for case in cases:
        report.findings += check_case(case, read, num_classes, multilabel, unlabeled)
    found = [(key, read[job(case, key)]) for case in cases for key in case.files]
    good = [(key, facts) for key, facts in found if isinstance(facts, FileFacts)]
    vectors = vector_lengths(cases, keys)
    report.findings += [*mixtures(good), *check_vectors(cases, vectors), *check_folds(cases), *check_leaks(cases)]
    parts: dict[str, list[list[int]]] = defaultdict(list)
    for case in cases:
        if case.classes is not None:
            parts[case.part].append(case.classes)
    report.findings += check_classes(parts, num_classes, multilabel)
    report.cases = {s: sum(case.section == s for case in cases) for s in SECTIONS if s in content}
    for section in report.cases:
        counts = Counter(c for case in cases if case.section == section for c in case.classes or [])
        classes = range(num_classes) if num_classes is not None else sorted(counts)
        report.classes[section] = {str(c): counts[c] for c in classes}
    for key in dict.fromkeys(key for key, _ in good):
        report.shapes[key] = ranges(f.shape for k, f in good if k == key)  # type: ignore[assignment]
        if any(f.spacing for k, f in good if k == key):
            report.spacings[key] = ranges(f.spacing for k, f in good if k == key and f.spacing)
    for key, lengths in vectors.items():
        report.shapes.setdefault(key, ranges((length,) for length in lengths))  # type: ignore[arg-type]
    if checksums is not None and os.path.isfile(checksums):
        report.findings += compare_checksums(Path(checksums), file, cases, workers)
    elif checksums is not None and report.ok:
        write_checksums(Path(checksums), file, cases, workers)
    return report


def _cases(content: Mapping[str, Any], findings: list[Finding]) -> list[Case]:
    cases = []
    for section in SECTIONS:
        items = content.get(section, [])
        if not isinstance(items, list):
            findings.append(Finding("error", "K29", "is not a list", item=section))
            continue
        for number, raw in enumerate(items):
            raw = {"image": raw} if isinstance(raw, str) else raw
            if isinstance(raw, Mapping):
                cases.append(Case(raw, section, f"{section}[{number}]"))
            else:
                what = f"is a {type(raw).__name__}, not an item"
                findings.append(Finding("error", "K29", what, item=f"{section}[{number}]", fix='{"image": ...}'))
        folds = section == "validation" and any("fold" in case.raw for case in cases)
        if not items and (section in content or section != "test") and not folds:
            severity = "error" if section == "training" else "warning"
            findings.append(Finding(severity, "K29", "is empty", item=section, fix="list its items"))
    name_parts(cases)
    return cases


def _read(folder: Path, cases: Sequence[Case], max_voxels: int, workers: int) -> dict[tuple[str, bool], Any]:
    """Facts of each file, or why there are none."""

    def read(one: tuple[str, bool]) -> FileFacts | BadFile:
        try:
            return check_file(folder / one[0], one[1], max_voxels)
        except BadFile as bad:
            return bad

    jobs = list(dict.fromkeys(job(case, key) for case in cases for key in case.files))
    with quiet(), ThreadPoolExecutor(workers) as pool:
        return dict(zip(jobs, pool.map(read, jobs), strict=True))
