# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_kd.data.datalist import SECTIONS
from monai_kd.utils import write_text

__all__ = ["save_datalist"]


def save_datalist(content: Mapping[str, Any], folder: str | os.PathLike) -> dict[str, int]:
    """Write a data set's `dataset.json`, as the Medical Segmentation Decathlon has it.

    Args:
        content: what it says, with the lists `training` and, where there are such, `validation` and `test`, from which
            `numTraining` and `numTest` are counted.
        folder: of the data set.

    Returns:
        The number of items in each section.

    Example::

        >>> import tempfile
        >>> from monai_kd.data import save_datalist
        >>> save_datalist({"name": "mine", "training": [{"image": "a.png", "label": 1}]}, tempfile.mkdtemp())
        {'training': 1}
    """
    numbers = {name: len(content[name]) for name in SECTIONS if name in content}
    counted = {"numTraining": numbers.get("training", 0), "numTest": numbers.get("test", 0)}
    write_text(Path(folder) / "dataset.json", json.dumps({**content, **counted}, indent=1) + "\n")
    return numbers
