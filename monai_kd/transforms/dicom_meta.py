# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import UID

__all__ = ["KEPT", "kept_tags", "sop_class"]

KEPT = (  # what tells how an image was made, and nothing of whom: no dates, no free text, no UIDs
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "PatientPosition",
    "Manufacturer",
    "KVP",
    "MagneticFieldStrength",
    "EchoTime",
    "RepetitionTime",
    "SliceThickness",
    "BitsStored",
    "RescaleType",
)


def sop_class(header: Dataset) -> str:
    """What kind of object a file holds, in words.

    Args:
        header: of the file.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_meta import sop_class
        >>> sop_class(Dataset())
        'SOP class not told'
    """
    uid = header.get("SOPClassUID")
    return f"SOP class {UID(str(uid)).name}" if uid else "SOP class not told"


def kept_tags(header: Dataset) -> dict[str, str | float]:
    """The tags of :data:`KEPT` that a file has, as plain text and numbers; nothing of the patient.

    Args:
        header: of the file.

    Example::

        >>> from pydicom import Dataset
        >>> from monai_kd.transforms.dicom_meta import kept_tags
        >>> header = Dataset()
        >>> header.Modality, header.PatientID = "MR", "1234"
        >>> kept_tags(header)
        {'Modality': 'MR'}
    """
    kept: dict[str, str | float] = {}
    for keyword in KEPT:
        value = header.get(keyword)
        if isinstance(value, int | float):
            kept[keyword] = float(value)
        elif isinstance(value, str) and value:
            kept[keyword] = str(value)
    return kept
