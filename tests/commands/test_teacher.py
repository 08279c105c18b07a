# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys

import pytest
import torch

from monai_kd.__main__ import main
from monai_kd.commands.composition import compose
from monai_kd.commands.teacher import teacher_overrides
from monai_kd.utils.errors import ConfigError

NETWORK = """
imports: ["$import math"]
width: 2
depths: [1, 3]
layer: {_target_: torch.nn.TransformerEncoderLayer, d_model: "@width", nhead: 1, dim_feedforward: "$@width * 2"}
network_def:
  _target_: torch.nn.TransformerEncoder
  encoder_layer: "@layer"
  num_layers: "@depths::1"
  enable_nested_tensor: "$math.pi < 3"
"""
LAYER = {"_target_": "torch.nn.TransformerEncoderLayer", "d_model": 2, "nhead": 1, "dim_feedforward": 4}
DEFINED = {
    "_target_": "torch.nn.TransformerEncoder",
    "encoder_layer": LAYER,
    "num_layers": 3,
    "enable_nested_tensor": False,
}


@pytest.fixture
def zoo(tmp_path):
    """A bundle as others publish them: a network whose arguments refer to other keys, and its weights."""
    folder = tmp_path / "zoo"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.yaml").write_text(NETWORK)
    network = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(2, 1, 4), 3, enable_nested_tensor=False)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def test_network_is_free_of_references(zoo):
    given = teacher_overrides(zoo)
    assert given == {"teacher_def": DEFINED, "teacher_checkpoint": str(zoo / "models" / "model.pt")}


def test_what_is_typed_lies_over_it(bundle, zoo):
    composed = compose("kd", bundle, None, ["--teacher_checkpoint", "mine.pt"], teacher_overrides(zoo))
    assert composed.overrides["teacher_checkpoint"] == "mine.pt"
    assert composed.merged()["teacher_def"]["_target_"] == DEFINED["_target_"]


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_it_teaches(bundle, zoo, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])  # MONAI adds the bundle to it
    words = ["--bundle", str(bundle), "--teacher", str(zoo), "--run", "['$print(@teacher.network.num_layers)']"]
    assert main(["run", "kd", *words]) == 0
    assert "3" in capsys.readouterr().out.splitlines()


def test_what_cannot_teach_is_named(bundle, zoo, tmp_path):
    with pytest.raises(ConfigError, match=r"toy_classification/models/model.pt: no such file"):
        teacher_overrides(bundle)
    (zoo / "configs" / "inference.yaml").write_text(NETWORK.replace("$@width * 2", "$object()"))
    with pytest.raises(ConfigError, match=r"layer::dim_feedforward: .* gives a object, not text or numbers"):
        teacher_overrides(zoo, packed=True)
    (zoo / "configs" / "inference.yaml").write_text("network_def: {_target_: scripts.net.Net}\n")
    with pytest.raises(ConfigError, match="own scripts"):
        teacher_overrides(zoo, packed=True)
    (zoo / "configs" / "inference.yaml").write_text("network: 1\n")
    with pytest.raises(ConfigError, match="has no network_def"):
        teacher_overrides(zoo)


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_other_preprocessing_is_warned_of(bundle, zoo, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    text = "\npreprocessing: [{_target_: Spacingd, keys: image, pixdim: [2, 2]}]\n"
    (zoo / "configs" / "inference.yaml").write_text(NETWORK + text)
    with (bundle / "configs" / "train.yaml").open("a") as file:
        file.write("mm: [1, 1]\nvalidate: {preprocessing: [{_target_: Spacingd, keys: image, pixdim: '@mm'}]}\n")
    words = ["run", "kd", "--bundle", str(bundle), "--teacher", str(zoo), "--run", "['$print(1)']"]
    with pytest.warns(UserWarning, match=r"pixdim of Spacing is \[1, 1\] for the student, \[2, 2\] for the teacher"):
        assert main(words) == 0
    with pytest.warns(UserWarning, match=r"is \[3, 3\] for the student"):
        assert main([*words, "--mm", "[3, 3]"]) == 0


@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_a_network_of_the_bundles_own_scripts_teaches_beside_the_students_scripts(bundle, zoo, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    (zoo / "configs" / "inference.yaml").write_text("network_def: {_target_: scripts.net.Net}\n")
    (zoo / "scripts").mkdir()
    (zoo / "scripts" / "net.py").write_text("import torch\nNet = lambda: torch.nn.Linear(2, 5)\n")
    torch.save(torch.nn.Linear(2, 5).state_dict(), zoo / "models" / "model.pt")
    words = ["--bundle", str(bundle), "--teacher", str(zoo), "--run", "['$print(@teacher.network)', '$print(@words)']"]
    assert main(["run", "kd", *words]) == 0
    out = capsys.readouterr().out
    assert "Linear(in_features=2, out_features=5" in out and "epochs of" in out
