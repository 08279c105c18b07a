# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on volumes that the test makes, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.volumes import write_volumes

CONFIGS = Path(__file__).resolve().parents[3] / "bundles" / "hippocampus_segmentation" / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Four volumes to train, two batches of two."""
    return write_volumes(tmp_path_factory.mktemp("data"))


@pytest.fixture
def make(data, tmp_path) -> Callable[..., ConfigWorkflow]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    def make(*files: str | Path, **override) -> ConfigWorkflow:
        given = {"bundle_root": str(tmp_path), "dataset_dir": data, "device": "$torch.device('cpu')", "progress": False}
        given |= {"max_epochs": 1, "batch_size": 2, "patch_size": [16, 24, 16], "window_size": [24, 24, 24], **override}
        paths = [str(CONFIGS / f) if isinstance(f, str) else str(f) for f in ("train.yaml", *files)]
        workflow = ConfigWorkflow(paths, workflow_type="train", logging_file=False, **given)
        workflow.initialize()
        return workflow

    return make


@pytest.fixture
def teacher(make, tmp_path) -> Path:
    """An untrained teacher, where train.yaml looks for one."""
    path = tmp_path / "teacher" / "model.pt"
    path.parent.mkdir()
    torch.save(make("train_teacher.yaml").network_def.state_dict(), path)
    return path
