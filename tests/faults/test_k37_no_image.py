# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from monai_kd.data import readable_items
from monai_kd.transforms import LoadDicomSeriesd, read_series
from monai_kd.utils.errors import DataError
from tests.faults.make import noise, write_dicom

KINDS = {
    "Comprehensive SR Storage": "1.2.840.10008.5.1.4.1.1.88.33",
    "RT Plan Storage": "1.2.840.10008.5.1.4.1.1.481.5",
    "RT Structure Set Storage": "1.2.840.10008.5.1.4.1.1.481.3",
    "12-lead ECG Waveform Storage": "1.2.840.10008.5.1.4.1.1.9.1.1",
    "Encapsulated PDF Storage": "1.2.840.10008.5.1.4.1.1.104.1",
}


def without_pixels(path, uid: str):
    write_dicom(path, noise((8, 6)), SOPClassUID=UID(uid))
    header = pydicom.dcmread(path)
    for name in ("PixelData", "Rows", "Columns"):
        del header[name]
    header.save_as(path)
    return path


@pytest.mark.parametrize(("name", "uid"), KINDS.items())
def test_a_file_without_pixels_says_what_it_is(tmp_path, name, uid):
    with pytest.raises(DataError, match=rf"a.dcm: is no image \(SOP class {name}\)"):
        read_series(without_pixels(tmp_path / "a.dcm", uid))


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm", "test-SR.dcm"])
def test_files_of_pydicom(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not bring {name}")
    with pytest.raises(DataError, match="is no image"):
        read_series(path)


def test_a_tag_that_pixels_need_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a.dcm: has no Columns"):
        read_series(write_dicom(tmp_path / "a.dcm", noise((8, 6)), Columns=None))


def test_what_is_no_dicom_is_refused_or_passed_over(tmp_path):
    write_dicom(tmp_path / "a.dcm", noise((8, 6)))
    (tmp_path / "notes.txt").write_text("no image")
    assert read_series(tmp_path)[0].shape == (8, 6)
    with pytest.raises(DataError, match=r"notes.txt: is no DICOM file"):
        read_series(tmp_path / "notes.txt")
    with pytest.raises(DataError, match=r"b.dcm: no such file"):
        read_series(tmp_path / "b.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="without DICOM files"):
        read_series(tmp_path / "empty")


def test_it_is_skipped_with_its_reason(tmp_path):
    items = [{"image": str(write_dicom(tmp_path / f"{index}.dcm", noise((8, 6))))} for index in range(3)]
    items.append({"image": str(without_pixels(tmp_path / "plan.dcm", KINDS["RT Plan Storage"]))})
    assert readable_items(items, LoadDicomSeriesd("image"), "skip", 0.5, tmp_path / "skipped.csv") == items[:3]
    assert "3,image," in (tmp_path / "skipped.csv").read_text()
