# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shutil
import subprocess

import pytest

from monai_kd.utils import CheckpointError, DataError
from monai_kd.utils.checksums import check_sum, file_sha256, read_sums, sum_beside, write_sums

NAMES = ["a.nii", "with space.png", "b/ö.dcm", "back\\slash.dcm", "new\nline.dcm"]


def test_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_reads_what_it_wrote_whatever_the_names(tmp_path):
    sums = {name: f"{number:064x}" for number, name in enumerate(NAMES)}
    write_sums(tmp_path / "sums", sums)
    assert read_sums(tmp_path / "sums") == sums


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="this system has no sha256sum")
def test_sha256sum_agrees(tmp_path):
    (tmp_path / "b").mkdir()
    for name in NAMES:
        (tmp_path / name).write_text(name)
    sums = {name: file_sha256(tmp_path / name) for name in NAMES}
    write_sums(tmp_path / "sums", sums)
    assert (
        subprocess.run(["sha256sum", "--check", "--strict", "sums"], cwd=tmp_path, capture_output=True).returncode == 0
    )
    written = subprocess.run(["sha256sum", *NAMES], cwd=tmp_path, capture_output=True, check=True).stdout
    (tmp_path / "theirs").write_bytes(written)
    assert read_sums(tmp_path / "theirs") == sums


@pytest.mark.parametrize("line", ["", "abc  a.nii", f"{64 * 'g'}  a.nii", 64 * "0", f"{64 * '0'}  a\n{64 * '1'}  a"])
def test_what_is_no_list_of_checksums_is_named_with_its_line(tmp_path, line):
    (tmp_path / "sums").write_text(f"{64 * '0'}  b\n{line}\n")
    with pytest.raises(DataError, match=r"sums, line [23]: (is no checksum|names 'a' a second time)"):
        read_sums(tmp_path / "sums")


@pytest.mark.parametrize("text", ["{}", "{}  model.pt\n", "{} *model.pt\n", "\\{}  model.pt\n"])
def test_compares_with_the_first_word(tmp_path, text):
    path = tmp_path / "model.pt"
    path.write_bytes(b"abc")
    sum_beside(path).write_text(text.format(file_sha256(path).upper()))
    check_sum(path, required=True)
    path.write_bytes(b"abd")
    with pytest.raises(CheckpointError, match=r"model.pt: is not what its checksum says"):
        check_sum(path)


def test_without_a_checksum_passes_unless_it_is_required(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"abc")
    check_sum(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="has no checksum beside it"):
        check_sum(tmp_path / "model.pt", required=True)
