# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K43: an archive that would write elsewhere, or without end, is refused and leaves nothing."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from monai_kd.utils import DataError
from monai_kd.utils.archives import extract

NAMES = [
    "../out.txt",
    "a/../../out.txt",
    "/tmp/monai_kd_out.txt",
    "..\\out.txt",
    "C:\\out.txt",
    "C:out.txt",
    "a/b/../..",
]
KINDS = {
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def make_zip(path: Path, files: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


makers = pytest.mark.parametrize("make", [make_zip, make_tar])


def refused(archive: Path, folder: Path, match: str, **limits) -> None:
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError, match=match):
        extract(archive, folder, **limits)
    assert sorted(archive.parent.rglob("*")) == before


@makers
def test_what_is_right_is_unpacked(tmp_path, make):
    archive = make(tmp_path / "a", {"one.txt": b"1", "deep/er/two.txt": b"2"})
    assert [p.read_bytes() for p in extract(archive, tmp_path / "new" / "out")] == [b"1", b"2"]
    assert extract(make(tmp_path / "b", {"three.txt": b"3"}), tmp_path / "new" / "out")[0].read_bytes() == b"3"


@makers
@pytest.mark.parametrize("name", NAMES)
def test_paths_that_lead_out(tmp_path, make, name):
    archive = make(tmp_path / "a", {"good.txt": b"1", name: b"2"})
    refused(archive, tmp_path / "out", r"a, '.*out|a, 'a/b")
    assert not Path("/tmp/monai_kd_out.txt").exists()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_links_and_devices_in_a_tar(tmp_path, kind):
    refused(make_tar(tmp_path / "a", {"link": b""}, kind), tmp_path / "out", "'link': is a link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(tmp_path, kind):
    refused(
        make_zip(tmp_path / "a", {"link": b"/etc"}, kind | 0o777), tmp_path / "out", "'link': is a link or a device"
    )


@makers
def test_a_bomb(tmp_path, make):
    archive = make(tmp_path / "a", {"zeros": bytes(20_000_000)})
    refused(archive, tmp_path / "out", "'zeros': is too large")
    assert extract(archive, tmp_path / "out", max_ratio=2000)[0].stat().st_size == 20_000_000


@makers
def test_many_small_files_count_together(tmp_path, make):
    archive = make(tmp_path / "a", {str(i): os.urandom(1000) for i in range(5)})
    refused(archive, tmp_path / "out", "'3': is too large", max_bytes=3500)


def test_a_size_that_lies(tmp_path):
    path = make_zip(tmp_path / "a", {"zeros": bytes(5_000_000)})
    told = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(told)
    refused(path, tmp_path / "out", "a")


@makers
def test_nothing_is_written_over(tmp_path, make):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    refused(make(tmp_path / "a", {"new": b"1", "mine": b"theirs"}), tmp_path / "out", "'mine': is there already")
    refused(make(tmp_path / "b", {"x": b"1", "x/y": b"2"}), tmp_path / "out", r"b")
    assert (tmp_path / "out" / "mine").read_text() == "mine"


@makers
@pytest.mark.parametrize("kept", [0, 10, 60])
def test_a_damaged_archive(tmp_path, make, kept):
    archive = make(tmp_path / "a", {"one": os.urandom(500)})
    archive.write_bytes(archive.read_bytes()[:kept])
    refused(archive, tmp_path / "out", "a: (is neither|cannot)")


def test_no_archive(tmp_path):
    refused(tmp_path / "a.zip", tmp_path / "out", r"a\.zip: no such file")
