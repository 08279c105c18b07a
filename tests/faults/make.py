# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Small files of every kind, and what can be done to them: cuts, flips of a bit, headers that lie."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from monai_kd.data import check_dataset
from monai_kd.data.checks.report import DatasetReport

KINDS = ("nii", "nii.gz", "npy", "npz", "png", "jpg", "bmp", "tif", "dcm")
PATIENT = "SECRET^PATIENT"  # whatever is printed, this is not


def noise(shape: Sequence[int] = (12, 10, 8), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.int16)


def write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write an array as its ending says: NIfTI, numpy, DICOM or a picture (axes turned, as PIL has rows first)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.name.split(".", 1)[1]
    if kind.startswith("nii"):
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    elif kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez_compressed(path, array)
    elif kind == "dcm":
        write_dicom(path, array)
    else:
        Image.fromarray(array.astype(np.uint8).T).save(path)
    return path


def write_dicom(path: Path, array: np.ndarray, **tags: object) -> Path:
    """Write one slice [columns, rows] of 16 bits; tags given replace the usual ones, None takes one away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    usual = {
        "PatientName": PATIENT,
        "PatientID": PATIENT,
        "SeriesInstanceUID": "1.2.3",
        "Rows": array.shape[1],
        "Columns": array.shape[0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "PixelSpacing": [1, 1],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 0],
    }
    for name, value in {**usual, **tags}.items():
        if value is not None:
            setattr(header, name, value)
    header.PixelData = array.T.astype("<i2").tobytes()
    header["PixelData"].VR = "OW"
    header.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, heights: Sequence[float], prefix: str = "", **tags: object) -> Path:
    """Write slices of 8 x 6 at these heights."""
    for number, height in enumerate(heights):
        place = {"ImagePositionPatient": [0, 0, height], **tags}
        write_dicom(folder / f"{prefix}{number}.dcm", noise((8, 6), number), **place)
    return folder


def write_file(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a sound file of a kind, of noise."""
    return write(folder / f"image.{kind}", noise((12, 10, 8) if kind[0] == "n" else (30, 20), seed))


def cut(path: Path, share: float) -> None:
    """Leave the first part of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def flip(path: Path, bit: int) -> None:
    """Turn one bit over."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def patch(path: Path, place: int, content: bytes) -> None:
    """Write over some bytes."""
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(content)


def write_list(folder: Path, **content: object) -> Path:
    """Write the dataset.json."""
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def check_one(folder: Path, path: Path, label: object = 0, **options: object) -> DatasetReport:
    """Check a data set of one training item."""
    label = label.name if isinstance(label, Path) else label
    write_list(folder, training=[{"image": path.name, "label": label, "case": "x"}])
    return check_dataset(folder, **options)  # type: ignore[arg-type]


def faults(report: DatasetReport, file: Path | None = None, severity: str = "error") -> list[str]:
    """The ids of the faults of a file, or of all."""
    found = [one for one in report.findings if one.severity == severity]
    return [one.fault for one in found if file is None or one.file == file.name]
