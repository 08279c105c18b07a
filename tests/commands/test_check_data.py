# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

from monai_kd.commands.check_data import check_data
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
