# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What both the reader of DICOM and the check of a data set know of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["DEFER", "RATIO", "TO_RAS", "UNEVEN", "dicom_files", "is_dicom"]

DEFER = 4096  # longer values are read when they are asked for
RATIO = 4096  # more than a compressed picture can save
UNEVEN = 0.01  # of the distance between slices
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's axes point to left and back, NIfTI's to right and front


def is_dicom(path: Path) -> bool:
    """Whether a file says of itself that it is DICOM.

    Args:
        path: the file.

    Example::

        >>> from pathlib import Path
        >>> from monai_kd.utils.dicom import is_dicom
        >>> is_dicom(Path(__file__))
        False
    """
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> tuple[list[Path], int]:
    """The DICOM files of a folder, by name, and how many others it holds; hidden files and a DICOMDIR do not count.

    Args:
        folder: the folder; what is below it is passed over.

    Example::

        >>> import shutil, tempfile
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from monai_kd.utils.dicom import dicom_files
        >>> path = Path(shutil.copy(get_testdata_file("CT_small.dcm"), tempfile.mkdtemp()))
        >>> files, others = dicom_files(path.parent)
        >>> files == [path], others
        (True, 0)
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [path for path in files if path.name != "DICOMDIR"]
    found = [path for path in files if path.suffix.lower() == ".dcm" or is_dicom(path)]
    return found, len(files) - len(found)
