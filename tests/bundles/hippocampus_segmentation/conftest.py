# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on volumes that the test makes, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundles.workflows import making
from tests.volumes import write_volumes

CONFIGS = Path(__file__).resolve().parents[3] / "bundles" / "hippocampus_segmentation" / "configs"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Four volumes to train, two batches of two."""
    return write_volumes(tmp_path_factory.mktemp("data"))


@pytest.fixture
def make(data, tmp_path) -> Iterator[Callable[..., ConfigWorkflow]]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    yield from making(CONFIGS, data, tmp_path, batch_size=2, patch_size=[16, 24, 16], window_size=[24, 24, 24])
