# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil

from monai_kd.__main__ import main
from monai_kd.commands.check_data import check_data
from monai_kd.utils.checksums import read_sums
from tests.volumes import write_volumes


def test_sound_set(tmp_path):
    text, status = check_data(write_volumes(tmp_path))
    assert status == 0 and text.endswith("0 errors, 0 warnings")
    assert text.splitlines()[0] == "training: 4 cases (0: 4, 1: 4, 2: 4)"
    assert "image: shape 17 x 24 x 18" in text and "image: spacing 1 x 1 x 1" in text


def test_errors_are_in_the_text_the_file_and_the_status(tmp_path):
    folder = write_volumes(tmp_path)
    (tmp_path / "labels" / "training_1.nii.gz").unlink()
    text, status = check_data(folder, num_classes=2, json_file=tmp_path / "report.json", workers=2)
    report = json.loads((tmp_path / "report.json").read_text())
    assert status == 1 and not report["ok"]
    assert "labels/training_1.nii.gz    there is no such file" in text
    assert sum("found 2, expected 0 to 1" in one["what"] for one in report["findings"]) == 7


def test_checksums_are_written_then_compared(tmp_path):
    folder, sums = write_volumes(tmp_path / "set"), tmp_path / "set.sha256"
    text, status = check_data(folder, checksums=sums)
    assert status == 0 and f"{sums}: written" in text
    assert set(read_sums(sums)) >= {"dataset.json", "images/training_1.nii.gz", "labels/training_1.nii.gz"}
    text, status = check_data(folder, checksums=sums, workers=2)
    assert status == 0 and f"{sums}: compared" in text
    shutil.copy(tmp_path / "set/images/training_1.nii.gz", tmp_path / "set/images/training_2.nii.gz")
    text, status = check_data(folder, checksums=sums)
    assert status == 1 and "images/training_2.nii.gz  is not what its checksum says" in text


def test_no_checksums_of_a_set_with_an_error(tmp_path, capsys):
    write_volumes(tmp_path)
    (tmp_path / "labels" / "training_1.nii.gz").unlink()
    assert main(["check-data", str(tmp_path), "--checksums", str(tmp_path / "sums")]) == 1
    assert "sums: not written, for there are errors" in capsys.readouterr().out
    assert not (tmp_path / "sums").exists()
