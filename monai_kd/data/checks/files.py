# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from monai_kd.data.checks.arrays import check_npy, check_npz
from monai_kd.data.checks.dicom import check_dicom
from monai_kd.data.checks.facts import BadFile, FileFacts
from monai_kd.data.checks.nifti import check_nifti
from monai_kd.data.checks.pictures import check_picture
from monai_kd.data.checks.series import check_series
from monai_kd.utils.dicom import is_dicom

__all__ = ["KINDS", "check_file"]

KINDS: dict[str, Callable[[Path, bool, int], FileFacts]] = {
    ".nii": check_nifti,
    ".nii.gz": check_nifti,
    ".npy": check_npy,
    ".npz": check_npz,
    ".dcm": check_dicom,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"), check_picture),
}


def check_file(path: Path, label: bool = False, max_voxels: int = 2**31) -> FileFacts:
    """Read an image or a label to its last byte, by the reader of its ending; a folder is a DICOM series.

    Args:
        path: the file or folder.
        label: whether its voxels are classes.
        max_voxels: most voxels that are read; a header that declares more is not believed.

    Returns:
        Its shape, spacing and values.

    Raises:
        BadFile: it is missing, cut, damaged, or its header lies.

    Example::

        >>> from pathlib import Path
        >>> from monai_kd.data.checks.files import check_file
        >>> check_file(Path("gone.nii.gz"))
        Traceback (most recent call last):
        monai_kd.data.checks.facts.BadFile: ('K30', 'there is no such file', 'mend the path')
    """
    try:
        return _reader(path)(path, label, max_voxels)
    except BadFile:
        raise
    except MemoryError:
        raise BadFile("K38", "needs more memory than there is", "cut it into smaller files") from None
    except Exception as error:  # what a library raises of a damaged file is its own affair; its text may quote a header
        raise BadFile("K30", f"cannot be read ({type(error).__name__})", "copy it again") from error


def _reader(path: Path) -> Callable[[Path, bool, int], FileFacts]:
    if os.path.isdir(path):
        return check_series
    if not os.path.isfile(path):
        raise BadFile("K30", "there is no such file", "mend the path")
    name = path.name.lower()
    for kind, reader in KINDS.items():
        if name.endswith(kind):
            return reader
    if is_dicom(path):
        return check_dicom
    raise BadFile("", f"files of this kind are not checked ({path.suffix or 'no ending'})")
