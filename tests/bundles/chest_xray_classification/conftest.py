# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on pictures that the tests draw, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundles.chest_xray_classification.workflows import CONFIGS, write_chest_xrays
from tests.bundles.workflows import making


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> str:
    """68 pictures, made ready by the bundle's script."""
    return write_chest_xrays(tmp_path_factory.mktemp("chest") / "data")


@pytest.fixture
def make(data, tmp_path) -> Iterator[Callable[..., ConfigWorkflow]]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    yield from making(CONFIGS, data, tmp_path, batch_size=20)
