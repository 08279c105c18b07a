# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of every bundle ask for; `make` is each bundle's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture
def teacher(make, tmp_path) -> Path:
    """An untrained teacher, where train.yaml looks for one."""
    path = tmp_path / "teacher" / "model.pt"
    path.parent.mkdir()
    torch.save(make("train_teacher.yaml").network_def.state_dict(), path)
    return path
