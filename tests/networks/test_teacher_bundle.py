# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from monai_kd.networks import Teacher, load_teacher_bundle
from monai_kd.utils import CheckpointError, ConfigError

SPACING = {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": [1.5, 1.5, 2.0]}
INFERENCE = {
    "imports": ["$import math"],
    "bundle_root": ".",
    "width": 4,
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": "@_meta_::classes",
        "channels": ["@width", "$@width * 2"],
        "strides": [2],
    },
    "network": "$@network_def.to('cpu')",
    "preprocessing": {"_target_": "Compose", "transforms": [SPACING]},
}


def bundle(folder: Path, ending: str = "json", **config) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / f"inference.{ending}").write_text(json.dumps({**INFERENCE, **config}))  # JSON is YAML, too
    (folder / "configs" / "metadata.json").write_text(json.dumps({"classes": 3}))
    network = UNet(2, 1, 3, channels=(4, 8), strides=(2,))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_network_with_its_weights_teaches(tmp_path, ending):
    teacher = load_teacher_bundle(bundle(tmp_path / "zoo", ending))
    assert isinstance(teacher, Teacher) and not teacher.network.training
    saved = torch.load(tmp_path / "zoo" / "models" / "model.pt", weights_only=True)
    assert all(value.equal(saved[name]) for name, value in teacher.network.state_dict().items())
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    assert teacher(x).shape == (2, 3, 8, 8) and not teacher(x).requires_grad


def test_another_key_and_file(tmp_path):
    folder = bundle(tmp_path / "zoo")
    (folder / "models" / "model.pt").rename(folder / "models" / "best.pt")
    assert load_teacher_bundle(folder, network="network", checkpoint="models/best.pt").network.dimensions == 2


def test_scripts_of_two_bundles_stay_apart(tmp_path):
    before, teachers = set(sys.modules), []
    for name, width in (("first", 2), ("second", 5)):
        folder = bundle(tmp_path / name, network_def={"_target_": "scripts.net.Net"})
        (folder / "scripts").mkdir()
        (folder / "scripts" / "__init__.py").write_text("")
        (folder / "scripts" / "net.py").write_text(f"import torch\nNet = lambda: torch.nn.Linear(1, {width})\n")
        torch.save(torch.nn.Linear(1, width).state_dict(), folder / "models" / "model.pt")
        teachers.append(load_teacher_bundle(folder))
    assert [teacher(torch.ones(1, 1)).shape[1] for teacher in teachers] == [2, 5]
    assert not [name for name in set(sys.modules) - before if name.split(".")[0] == "scripts"]
    assert str(tmp_path / "first") not in sys.path


def test_other_preprocessing_is_warned_of_by_name(tmp_path):
    teacher = bundle(tmp_path / "zoo")
    loading = [{**SPACING, "pixdim": [1, 1, 1]}, {"_target_": "ScaleIntensityd", "keys": "image"}]
    student = bundle(tmp_path / "mine", preprocessing={"_target_": "Compose", "transforms": loading})
    with pytest.warns(UserWarning, match="prepared otherwise") as caught:
        load_teacher_bundle(teacher, student=student)
    (message,) = [str(warning.message) for warning in caught]
    assert "pixdim of Spacing is [1, 1, 1] for the student, [1.5, 1.5, 2.0] for the teacher" in message
    assert "ScaleIntensity() for the student, nothing for the teacher" in message


def test_the_same_preprocessing_is_silent(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_teacher_bundle(bundle(tmp_path / "zoo"), student=bundle(tmp_path / "mine"))


def test_no_preprocessing_is_told(tmp_path):
    student = bundle(tmp_path / "mine", preprocessing="$@data")
    with pytest.warns(UserWarning, match="not compared: .*mine, preprocessing: is no list"):
        load_teacher_bundle(bundle(tmp_path / "zoo"), student=student)


def test_what_cannot_teach_is_named(tmp_path):
    folder = bundle(tmp_path / "zoo")
    with pytest.raises(ConfigError, match="no such folder"):
        load_teacher_bundle(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"has no 'networks'. did you mean 'network'"):
        load_teacher_bundle(folder, network="networks")
    with pytest.raises(ConfigError, match="'width' is a int, not a network"):
        load_teacher_bundle(folder, network="width")
    with pytest.raises(CheckpointError, match=r"models/best.pt: no such file"):
        load_teacher_bundle(folder, checkpoint="models/best.pt")
    torch.save(UNet(2, 1, 2, channels=(4, 8), strides=(2,)).state_dict(), folder / "models" / "model.pt")
    with pytest.raises(CheckpointError, match="of another shape"):
        load_teacher_bundle(folder)
