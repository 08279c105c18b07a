# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_kd.data.picture_headers import check_header
from monai_kd.utils.errors import DataError
from tests.faults.make import write_dicom


def write_colours_of_16_bits(path: Path) -> None:
    """An RGB PNG of 16 bits, which PIL cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(8 * 6) for _ in range(6))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "jpg"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_eight_bits_pass(tmp_path, ending, mode, channels):
    file = tmp_path / f"a.{ending}"
    Image.new(mode, (8, 6)).save(file)
    check_header(str(file), channels, "image", "a")


@pytest.mark.parametrize(
    ("ending", "mode", "bits"),
    [("png", "I;16", 16), ("tif", "I;16", 16), ("tif", "I", 32), ("tif", "F", 32), ("png", "1", 1), ("tif", "1", 1)],
)
def test_other_bits_are_refused(tmp_path, ending, mode, bits):
    file = tmp_path / f"a.{ending}"
    Image.new(mode, (8, 6)).save(file)
    with pytest.raises(DataError, match=rf"^a: 'image' has {bits} bits a channel, expected 8. save all pictures"):
        check_header(str(file), 1, "image", "a")


def test_colours_of_which_pil_drops_half_the_bits_are_refused(tmp_path):
    write_colours_of_16_bits(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
    with pytest.raises(DataError, match="has 16 bits a channel"):
        check_header(str(tmp_path / "a.png"), 3, "image", "a")


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_16_bits_in_tiff_are_refused(tmp_path, planar):
    tifffile = pytest.importorskip("tifffile")
    shape = (8, 8, 3) if planar == "contig" else (3, 8, 8)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint16), photometric="rgb", planarconfig=planar)
    with pytest.raises(DataError, match="has 16 bits a channel"):
        check_header(str(tmp_path / "a.tif"), 3, "image", "a")


@pytest.mark.parametrize(
    ("tags", "values"),
    [
        ({"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}, "0 to 4095"),
        ({"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}, "-2048 to 2047"),
        ({"BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "RescaleIntercept": -1024}, "-1024 to -769"),
    ],
)
@pytest.mark.parametrize("name", ["a.dcm", "a"])
def test_dicom_of_other_values_is_refused(tmp_path, tags, values, name):
    file = write_dicom(tmp_path / name, np.zeros((8, 6), np.int16), **{"RescaleIntercept": 0, **tags})
    with pytest.raises(DataError, match=rf"^a: 'image' has values {values}, expected 0 to 255. save all pictures"):
        check_header(str(file), 1, "image", "a")


def test_dicom_of_eight_bits_passes(tmp_path):
    tags = {"BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "RescaleIntercept": 0}
    check_header(str(write_dicom(tmp_path / "a.dcm", np.zeros((8, 6), np.int16), **tags)), 1, "image", "a")


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii.gz", "a.npy"])
def test_what_cannot_be_read_or_has_no_such_header_is_left_to_its_reader(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing")
    check_header(str(tmp_path / name), 1, "image", "a")
    check_header(str(tmp_path), 1, "image", "a")  # a series' folder
