# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Two processes train one student by a recipe of two stages."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import pytest
import torch
from monai.networks.nets import ResNet

from monai_kd.recipes import load_recipe
from tests.bundles.skin_lesion_classification.workflows import BUNDLE, CONFIGS, FLAT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssd_kd", "crckd"])
def test_two_processes_train_one_student(name, data, teacher, tmp_path):
    files = [str(CONFIGS / "train.yaml"), str(load_recipe(name).path), str(CONFIGS / "multi_gpu_train.yaml")]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    command += ["tests.bundle_process", "run", "--config_file", str(files), "--bundle_root", str(tmp_path)]
    command += ["--dataset_dir", data, "--max_epochs", "2", "--batch_size", "10", "--val_interval", "1"]
    environment = {"PYTHONPATH": str(BUNDLE.parents[1]), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    ResNet(**FLAT).load_state_dict(state, strict=True)
    with (tmp_path / "output" / "distilled" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and all(row["val_accuracy"] for row in rows)
