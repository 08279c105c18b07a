# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K23: a teacher whose images were prepared otherwise than the student's is told by each difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from monai_kd.networks import load_teacher_bundle

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
}


def bundle(folder: Path, a_max: int, pixdim: list[float], axcodes: str) -> Path:
    """A bundle as others publish them."""
    steps = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": axcodes},
        {"_target_": "Spacingd", "keys": "image", "pixdim": pixdim},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": a_max, "b_min": 0, "b_max": 1},
    ]
    config = {"network_def": NETWORK, "preprocessing": {"_target_": "Compose", "transforms": steps}}
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text("{}")
    torch.save(UNet(2, 1, 2, channels=(4, 8), strides=(2,)).state_dict(), folder / "models" / "model.pt")
    return folder


def test_each_difference_is_told(tmp_path):
    student = bundle(tmp_path / "student", 255, [1.0, 1.0], "RA")
    teacher = bundle(tmp_path / "teacher", 4095, [0.5, 0.5], "LA")
    with pytest.warns(UserWarning) as told:
        load_teacher_bundle(teacher, student=student)
    text = " ".join(str(one.message) for one in told)
    assert "a_max of ScaleIntensityRange is 255 for the student, 4095 for the teacher" in text
    assert "pixdim of Spacing is [1.0, 1.0] for the student, [0.5, 0.5] for the teacher" in text
    assert "axcodes of Orientation is 'RA' for the student, 'LA' for the teacher" in text


def test_two_that_do_the_same_are_not_warned_of(tmp_path, recwarn):
    student, teacher = (bundle(tmp_path / name, 255, [1.0, 1.0], "RA") for name in ("student", "teacher"))
    load_teacher_bundle(teacher, student=student)
    assert [str(one.message) for one in recwarn if "prepared otherwise" in str(one.message)] == []
