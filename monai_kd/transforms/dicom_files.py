# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from monai_kd.utils.dicom import DEFER, dicom_files
from monai_kd.utils.errors import DataError

__all__ = ["DicomFile", "read_file", "reading", "series_files"]


@dataclass
class DicomFile:
    """A file of a series.

    Args:
        where: its path.
        header: what it holds, long values deferred.
    """

    where: str
    header: pydicom.Dataset


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn whatever pydicom raises on a damaged file into an error that names the file.

    Args:
        where: the file.

    Raises:
        DataError: something went wrong within.

    Example::

        >>> from monai_kd.transforms.dicom_files import reading
        >>> with reading("slice.dcm"):
        ...     int("abc")
        Traceback (most recent call last):
        monai_kd.utils.errors.DataError: slice.dcm: cannot be read (ValueError). copy it again
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("no such file", where=where) from error
    except InvalidDicomError as error:
        raise DataError("is no DICOM file, or its head is missing", where=where) from error
    except Exception as error:  # pydicom raises anything, and its text may quote the header
        raise DataError(f"cannot be read ({type(error).__name__})", where=where, fix="copy it again") from error


def read_file(path: str | os.PathLike, defer: int | None = None) -> pydicom.Dataset:
    """Read one file.

    Args:
        path: the file.
        defer: values longer than this are read when they are asked for; None reads all at once.

    Raises:
        DataError: it is missing, is no DICOM file, or is damaged.

    Example::

        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_files import read_file
        >>> read_file(get_testdata_file("CT_small.dcm")).Modality
        'CT'
    """
    with reading(str(path)):
        return pydicom.dcmread(path, defer_size=defer)


def series_files(path: str, series: str | None = None) -> list[DicomFile]:
    """The headers of a file, or of the files of a folder that are of one series, by name.

    Args:
        path: the file or folder; hidden files, a DICOMDIR and files that are not DICOM are passed over in a folder.
        series: the SeriesInstanceUID to take; None takes the only one there is.

    Raises:
        DataError: a file cannot be read, there is none, no such series, or more than one and `series` is not given.

    Example::

        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.transforms.dicom_files import series_files
        >>> len(series_files(get_testdata_file("CT_small.dcm")))
        1
    """
    paths = _in_folder(Path(path)) if os.path.isdir(path) else [Path(path)]
    found: dict[str, list[DicomFile]] = {}
    for one in paths:
        header = read_file(one, DEFER)
        with reading(str(one)):
            uid = str(header.get("SeriesInstanceUID", ""))
        found.setdefault(uid, []).append(DicomFile(str(one), header))
    if series is not None:
        if series not in found:
            raise DataError(f"holds no series {series}", where=path)
        return found[series]
    if len(found) > 1:
        counts = " and ".join(str(len(files)) for files in found.values())
        fix = "give a folder for each series, or `series`, the SeriesInstanceUID of one"
        raise DataError(f"holds {len(found)} series, of {counts} files", where=path, fix=fix)
    return next(iter(found.values()))


def _in_folder(folder: Path) -> list[Path]:
    files, _ = dicom_files(folder)
    if not files:
        raise DataError("is a folder without DICOM files", where=str(folder))
    return files
