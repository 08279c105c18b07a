# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[1]

# what is searched for faults: a little by default; `--hypothesis-profile=thorough` takes hours
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", max_examples=20, deadline=None, derandomize=True, suppress_health_check=_SLOW)
settings.register_profile("thorough", max_examples=10_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("default")


def pytest_configure() -> None:
    torch.set_num_threads(1)  # the networks are tiny: more threads only wait for each other


@pytest.fixture(autouse=True)
def seed():
    """Start every test from the same state of every random generator, and leave MONAI's switches as they were."""
    set_determinism(seed=0, use_deterministic_algorithms=None)
    yield
    set_determinism(seed=None)


@pytest.fixture
def project() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, where MONAI_KD_DATA points or beside the project; without it a test is skipped."""
    folder = Path(os.environ.get("MONAI_KD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data sets are not at {folder}; set MONAI_KD_DATA to the folder that holds them")
    return folder
