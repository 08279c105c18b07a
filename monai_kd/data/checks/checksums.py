# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from monai_kd.data.checks.leaks import Case
from monai_kd.data.checks.report import Finding
from monai_kd.utils.checksums import file_sha256, read_sums, write_sums
from monai_kd.utils.dicom import dicom_files

__all__ = ["compare_checksums", "write_checksums"]


def write_checksums(file: Path, datalist: Path, cases: Sequence[Case], workers: int = 1) -> None:
    """Write the SHA-256 of the list and of each file of its cases, with paths from the list's folder.

    `sha256sum -c FILE` in that folder compares them, too.

    Args:
        file: where to.
        datalist: the `dataset.json`.
        cases: with their files; of a folder, its DICOM files count.
        workers: threads that read.

    Raises:
        CheckpointWriteError: it cannot be written; a file that was there is as it was.
    """
    sums: dict[str, str] = {}
    for name, found in _sums(datalist.parent, _files(datalist, cases), workers):
        if isinstance(found, OSError):
            raise found
        sums[name] = found
    write_sums(file, sums)


def compare_checksums(file: Path, datalist: Path, cases: Sequence[Case], workers: int = 1) -> Iterator[Finding]:
    """Say which files changed since their checksums were written, which are new, and which are gone.

    Args:
        file: of the checksums.
        datalist: the `dataset.json`.
        cases: with their files.
        workers: threads that read.

    Raises:
        DataError: `file` holds a line that is no checksum.
    """
    told, items, again = read_sums(file), _files(datalist, cases), f"or remove {file} to write it anew"
    for name, found in _sums(datalist.parent, items, workers):
        if isinstance(found, OSError):
            yield Finding("error", "K31", f"cannot be read ({type(found).__name__})", name, items[name])
        elif name not in told:
            yield Finding("error", "K31", f"has no checksum in {file}", name, items[name], f"leave it out, {again}")
        elif found != told[name]:
            fix = f"copy it again; if the change is meant, {again.removeprefix('or ')}"
            yield Finding("error", "K31", "is not what its checksum says", name, items[name], fix)
    there = {name for name in items if (datalist.parent / name).is_file()}
    for name in told:
        if name not in there:
            what = f"is gone from the data set, though {file} lists it"
            yield Finding("error", "K31", what, name, items.get(name, ""), f"bring it back, {again}")


def _files(datalist: Path, cases: Sequence[Case]) -> dict[str, str]:
    """Each file once, as a path from the list's folder, and the first item that has it."""
    folder, found = datalist.parent, {datalist.name: ""}
    for case in cases:
        for name in case.files.values():
            path = folder / name
            for one in dicom_files(path)[0] if path.is_dir() else [path]:
                found.setdefault(Path(os.path.relpath(one, folder)).as_posix(), case.item)
    return found


def _sums(folder: Path, names: dict[str, str], workers: int) -> Iterator[tuple[str, str | OSError]]:
    """Each file that is there with its SHA-256, or why it cannot be read."""

    def read(name: str) -> str | OSError:
        try:
            return file_sha256(folder / name)
        except OSError as error:
            return error

    there = [name for name in names if (folder / name).is_file()]
    with ThreadPoolExecutor(workers) as pool:
        yield from zip(there, pool.map(read, there), strict=True)
