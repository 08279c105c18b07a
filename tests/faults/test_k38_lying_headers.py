# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import io
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.make import check_one, faults, noise, patch, write_dicom, write_file


def nifti(path: Path) -> None:
    patch(path, 40, struct.pack("<4h", 3, 30000, 30000, 30000))


def packed_nifti(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40:48] = struct.pack("<4h", 3, 1300, 1300, 1100)  # fewer than max_voxels
    path.write_bytes(gzip.compress(bytes(content)))


def array(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"(12, 10, 8), }     ", b"(1200, 1000, 1000)}"))


def archive(path: Path) -> None:
    content = io.BytesIO()
    np.save(content, noise())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("arr_0.npy", content.getvalue().replace(b"(12, 10, 8), }     ", b"(1200, 1000, 1000)}"))


def png(path: Path) -> None:
    header = b"IHDR" + struct.pack(">2I", 40000, 40000) + path.read_bytes()[24:29]
    patch(path, 12, header + struct.pack(">I", zlib.crc32(header)))


def jpg(path: Path) -> None:
    patch(path, path.read_bytes().index(b"\xff\xc0") + 5, struct.pack(">2H", 40000, 40000))


def bmp(path: Path) -> None:
    patch(path, 18, struct.pack("<2i", 40000, 40000))


def tif(path: Path) -> None:
    content = path.read_bytes()
    for tag, old in ((256, 30), (257, 20)):  # width and length
        for kind, code in ((3, "H2x"), (4, "I")):
            entry = struct.pack("<2HI" + code, tag, kind, 1, old)
            content = content.replace(entry, struct.pack("<2HII", tag, 4, 1, 40000))
    path.write_bytes(content)


def dicom(path: Path) -> None:
    write_dicom(path, noise((30, 20)), Rows=40000, Columns=40000)


@pytest.fixture
def little_memory():
    """A gigabyte above what is in use: less than any of these headers declares."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize(
    ("kind", "lie"),
    [
        ("nii", nifti),
        ("nii.gz", packed_nifti),
        ("npy", array),
        ("npz", archive),
        ("png", png),
        ("jpg", jpg),
        ("bmp", bmp),
        ("tif", tif),
        ("dcm", dicom),
    ],
)
def test_nothing_is_allocated_for_a_lie(tmp_path, kind: str, lie: Callable, little_memory):
    path = write_file(tmp_path, kind)
    lie(path)
    report = check_one(tmp_path, path)
    (one,) = [one for one in report.findings if one.severity == "error" and one.file]
    assert one.fault == "K38" and "declares" in one.what


@pytest.mark.parametrize("kind", ["nii.gz", "npy", "npz", "png", "dcm"])
def test_more_than_max_voxels(tmp_path, kind):
    path = write_file(tmp_path, kind)
    assert faults(check_one(tmp_path, path, max_voxels=500), path) == ["K38"]


@pytest.mark.parametrize("rows", [80, 10])
def test_dicom_of_other_rows(tmp_path, rows):
    path = write_dicom(tmp_path / "a.dcm", noise((30, 20)), Rows=rows)
    assert faults(check_one(tmp_path, path), path) == ["K38"]


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "npy"])
def test_file_that_goes_on(tmp_path, kind, little_memory):
    path = write_file(tmp_path, kind)
    more = gzip.compress(bytes(2**26)) if kind == "nii.gz" else b"more"
    path.write_bytes(path.read_bytes() + more)
    assert faults(check_one(tmp_path, path), path) == ["K38"]


@pytest.mark.parametrize("start", [0.0, 100.0, 1e9, np.nan])
def test_voxels_of_nifti_start_where_they_can(tmp_path, start):
    path = write_file(tmp_path, "nii")
    patch(path, 108, struct.pack("<f", start))
    assert faults(check_one(tmp_path, path), path) == ["K38"]
