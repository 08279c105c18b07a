# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data.data_manager import DATA_ROOT
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import MPEG2MPML, JPEGLSLossless, RLELossless

from monai_kd.transforms import LoadDicomSeriesd, read_series
from monai_kd.utils.errors import DataError
from tests.faults.make import noise, write_dicom

BUNDLED = Path(DATA_ROOT) / "test_files"
REASONS = {  # of the files that are refused whatever is installed; (...) of those that a package would read
    "ExplVR_BigEndNoMeta": "no DICOM file",
    "ExplVR_LitEndNoMeta": "no DICOM file",
    "GDCMJ2K_TextGBR": "(they are damaged)",
    "JPEG-lossy": "(they are damaged)",
    "JPEG2000-embedded-sequence-delimiter": "(they are damaged)",
    "JPEGLSNearLossless_08": "(needs package)",
    "JPEGLSNearLossless_16": "(needs package)",
    "JPGExtended": "(they are damaged)",
    "MR_small_jpeg_ls_lossless": "(needs package)",
    "MR_small_padded": "declares 8192 bytes of pixels and holds 8320",
    "MR_truncated": "declares 8192 bytes of pixels and holds 8130",
    "SC_rgb_jls_lossy_line": "(needs package)",
    "SC_rgb_jls_lossy_sample": "(needs package)",
    "SC_rgb_jpeg_gdcm": "(needs package)",
    "UN_sequence": "is no image",
    "badVR": "NumberOfFrames is not a number",
    "DICOMDIR-empty": "is no image",
    "empty_charset_LEI": "is no image",
    "liver_1frame": "has 1 frames, and tells of 3",
    "liver_expb_1frame": "has 1 frames, and tells of 3",
    "meta_missing_tsyntax": "has no Rows",
    "nested_priv_SQ": "has no Rows",
    "no_meta": "no DICOM file",
    "no_meta_group_length": "is no image",
    "priv_SQ": "is no image",
    "reportsi": "is no image",
    "reportsi_with_empty_number_tags": "is no image",
    "rtplan": "is no image",
    "rtplan_truncated": "is no image",
    "rtstruct": "no DICOM file",
    "test-SR": "is no image",
    "waveform_ecg": "is no image",
    "partial_overlaps": "is a segmentation of 5 segments",
    "sparse-labelmap-noppv": "SpacingBetweenSlices is 2.5",
    "sparse-labelmap-ppv5": "SpacingBetweenSlices is 2.5",
}
BARS = [  # of the pictures SC_rgb_*, from top to bottom
    *([255, 0, 0], [255, 128, 128], [0, 255, 0], [128, 255, 128], [0, 0, 255], [128, 128, 255]),
    *([0, 0, 0], [64, 64, 64], [192, 192, 192], [255, 255, 255]),
]

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom tells what is odd in its files


def outcome(path: Path) -> str:
    """Read a file: it is as pydicom decodes it, or refused for its own reason; say which."""
    reason = REASONS.get(path.stem, "")
    try:
        array, affine, meta = read_series(path)
    except DataError as error:
        assert reason and reason.strip("()") in str(error) and str(path) in str(error), str(error)
        return f"refused: {error.what}"
    assert not reason or reason[0] == "("
    header = pydicom.dcmread(path)
    truth = pixel_array(header, raw=False)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        truth = pydicom.pixels.apply_color_lut(truth, header)
    truth = truth.astype(np.float64) * float(header.get("DoseGridScaling", header.get("RescaleSlope", 1)))
    truth = (truth + float(header.get("RescaleIntercept", 0))).astype(np.float32)
    frames = truth[None] if header.get("NumberOfFrames", 1) == 1 else truth
    truth = frames.swapaxes(0, 2) if array.ndim - (meta["photometric"] == "RGB") == 3 else frames[0].swapaxes(0, 1)
    assert np.array_equal(array, truth) and np.isfinite(affine).all() and np.linalg.det(affine[:3, :3]) != 0
    return f"{'x'.join(map(str, array.shape))} {meta['photometric']}, place: {meta['geometry']}"


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".dcm", ".seg"))


def test_every_file_that_pydicom_brings():
    files = pictures(BUNDLED)
    if len(files) < 50:
        pytest.skip(f"pydicom brings {len(files)} files")
    table = {path.name: outcome(path) for path in files if path.parent == BUNDLED}
    print("\n".join(f"{name:45}{told}" for name, told in table.items()))
    assert sum(not told.startswith("refused") for told in table.values()) >= 40


@pytest.fixture(scope="module")
def conformance(shared_data, tmp_path_factory) -> Path:
    source, folder = shared_data / "dicom_conformance", tmp_path_factory.mktemp("dicom_conformance")
    if not source.is_dir():
        pytest.skip(f"no dicom_conformance in {shared_data}")
    for archive in source.glob("*.zip"):
        zipfile.ZipFile(archive).extractall(folder / archive.stem)
    return folder


def test_every_file_of_the_conformance_set(conformance):
    files = pictures(conformance) + sorted(conformance.rglob("DICOMDIR*"))
    table = {str(path.relative_to(conformance)): outcome(path) for path in files}
    print("\n".join(f"{name:75}{told}" for name, told in table.items()))
    assert len(table) >= 79


@pytest.mark.parametrize(
    ("dicom", "nrrd"),
    [("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"), ("liver.dcm", "liver_seg.nrrd")],
)
def test_segmentations_are_as_their_nrrd(conformance, dicom, nrrd):
    array, affine, _ = read_series(conformance / "dcmqi_ct_seg" / dicom)
    head, _, packed = (conformance / "dcmqi_ct_seg" / nrrd).read_bytes().partition(b"\n\n")
    told = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    kind = {"short": "<i2", "unsigned short": "<u2"}.get(told["type"], "u1")
    mask = np.frombuffer(gzip.decompress(packed), kind).reshape([int(n) for n in told["sizes"].split()], order="F")
    places = re.findall(r"[-.e\d]+", told["space directions"] + told["space origin"])
    assert told["space"] == "left-posterior-superior" and np.array_equal(array != 0, mask != 0)
    assert np.allclose(np.diag([-1, -1, 1]) @ affine[:3], np.array(places, float).reshape(4, 3).T, atol=1e-3)


@pytest.mark.parametrize("size", ["23x38x3", "24x38x3"])
def test_a_series_is_as_its_multi_frame_file(conformance, size):
    series, affine, _ = read_series(conformance / "dcmqi_ct_seg" / size / "image")
    frames, other, _ = read_series(conformance / "dcmqi_ct_seg" / size / "multiframe" / "mf.dcm")
    assert np.array_equal(series, frames) and np.allclose(affine, other, atol=1e-4)


def bundled(*patterns: str) -> list[Path]:
    found = sorted(path for pattern in patterns for path in BUNDLED.glob(pattern))
    if not found:
        pytest.skip(f"pydicom does not bring {patterns}")
    return [path for path in found if path.stem not in REASONS]


@pytest.mark.parametrize(("first", "others"), [("MR_small.dcm", "MR_small_*.dcm"), ("rtdose.dcm", "rtdose_*.dcm")])
def test_one_image_in_several_syntaxes(first, others):
    truth, affine, _ = read_series(bundled(first)[0])
    same = [path for path in bundled(others) if "1frame" not in path.name]
    assert len(same) >= 2
    for path in same:
        array, other, _ = read_series(path)
        assert np.array_equal(array, truth) and np.array_equal(affine, other), path.name
        assert array.dtype == np.dtype("float32") and array.dtype.isnative


@pytest.mark.parametrize(
    "path", bundled("SC_rgb_dcmtk*", "SC_rgb_gdcm*", "SC_rgb_jpeg_*g*m.dcm", "SC_rgb_rle*", "SC_ybr*")
)
def test_colours_are_red_green_and_blue(path):
    image = LoadDicomSeriesd("image")({"image": path})["image"].numpy()
    scale = {16: 257, 32: 16843009}.get(pydicom.dcmread(path, specific_tags=["BitsAllocated"]).BitsAllocated, 1)
    bars = image[:, 50, 5::10].T if image.ndim == 3 else image[:, 50, 5::10, 0].T
    assert image.shape[:3] == (3, 100, 100) and np.abs(bars / scale - BARS).max() < 6


def test_a_syntax_without_its_package_names_both(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    write_dicom(path, noise((8, 6)))
    header = pydicom.dcmread(path)
    header.PixelData = encapsulate([b"\xff\xd8 nothing of sense"])
    for syntax, reason in ((JPEGLSLossless, "JPEG-LS Lossless Image Compression"), (MPEG2MPML, "MPEG2")):
        header.file_meta.TransferSyntaxUID = syntax
        header.save_as(path)
        with pytest.raises(DataError, match=rf"a.dcm: (transfer syntax|its pixels).*{reason}"):
            read_series(path)


def test_a_compressed_file_that_is_cut_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", noise((80, 60)))
    header = pydicom.dcmread(path)
    header.compress(RLELossless)
    header.save_as(path)
    assert np.array_equal(read_series(path)[0], noise((80, 60)))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"a.dcm: "):
        read_series(path)
