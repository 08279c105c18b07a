# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import pytest

TRAIN = """
imports: ["$import monai_kd", "$from scripts.words import tell"]
bundle_root: "."
max_epochs: 3
views: [image]
student_channels: 2
teacher_checkpoint: "$@bundle_root + '/teacher/model.pt'"
teacher_def: {_target_: torch.nn.Linear, in_features: 2, out_features: 2}
teacher: "$monai_kd.networks.Teacher(monai_kd.networks.load_weights(@teacher_def, @teacher_checkpoint))"
network_def: {_target_: torch.nn.Linear, in_features: 2, out_features: 2}
network: "@network_def"
labeled_key: null
label_loss: {_target_: torch.nn.CrossEntropyLoss}
kd_loss: {_target_: monai_kd.losses.KDLoss, temperature: 4.0}
passes:
  student: {keys: image}
  teacher: {keys: image, network: "@teacher"}
terms:
  label: {loss: "@label_loss", inputs: [student, label], where: "@labeled_key"}
  kd: {loss: "@kd_loss", inputs: [student, teacher]}
train: {handlers: []}
words: "$tell(@max_epochs, @terms, @bundle_root)"
run: ["$print(@words)"]
"""
TELL = """
def tell(epochs, terms, root):
    weights = {name: term.get("weight", 1) for name, term in terms.items() if term}
    return f"{epochs} epochs of {weights} in {root}"
"""
FILES = {
    "LICENSE": "do what you like",
    "docs/README.md": "# A bundle",
    "scripts/__init__.py": "",
    "scripts/words.py": TELL,
    "scripts/__pycache__/words.cpython-310.pyc": "stale",
    "configs/train.yaml": TRAIN,
    "configs/train_alone.yaml": "terms::kd: null\n",
    "configs/evaluate.yaml": "run: ['$print(1)']\n",
    "configs/multi_gpu_train.yaml": "max_epochs: 7\n",
    "configs/inference.yaml": "network_def: {_target_: torch.nn.Linear, in_features: 2, out_features: 2}\n",
    "configs/metadata.json": json.dumps({"version": "0.1.0", "kind": "classification"}),
}


@pytest.fixture
def bundle(tmp_path) -> Path:
    """The smallest bundle that recipes can be laid over; its run prints a line."""
    root = tmp_path / "toy_classification"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def trusted(monkeypatch) -> None:
    """The bundles of these tests have code of their own; that such are refused is tested beside the faults."""
    monkeypatch.setattr("monai_kd.commands.check_bundle.refuse_foreign", lambda folder: None)
    monkeypatch.setattr("monai_kd.commands.check_bundle.refuse_foreign_files", lambda files, beside: None)
