# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on pictures that the tests draw, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import set_track_meta

from tests.bundles.fundus_multilabel_classification.workflows import CONFIGS, write_fundus


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> str:
    """Pictures of 60 patients, made ready by the bundle's script."""
    return write_fundus(tmp_path_factory.mktemp("fundus") / "data")


@pytest.fixture
def make(data, tmp_path) -> Callable[..., ConfigWorkflow]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    def make(*files: str | Path, **override) -> ConfigWorkflow:
        given = {"bundle_root": str(tmp_path), "dataset_dir": data, "device": "$torch.device('cpu')", "progress": False}
        given |= {"max_epochs": 1, "batch_size": 20, **override}
        paths = [str(CONFIGS / f) if isinstance(f, str) else str(f) for f in ("train.yaml", *files)]
        workflow = ConfigWorkflow(paths, workflow_type="train", logging_file=False, **given)
        workflow.initialize()
        return workflow

    yield make
    set_track_meta(True)


@pytest.fixture
def teacher(make, tmp_path) -> Path:
    """An untrained teacher, where train.yaml looks for one."""
    path = tmp_path / "teacher" / "model.pt"
    path.parent.mkdir()
    torch.save(make("train_teacher.yaml").network_def.state_dict(), path)
    return path
