# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on pictures that the tests draw, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from monai.bundle import ConfigWorkflow

from tests.bundles.skin_lesion_classification.workflows import CONFIGS, prepare_data, write_ham10000
from tests.bundles.workflows import making


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> str:
    """77 pictures of 56 lesions, made ready by the bundle's script."""
    folder = tmp_path_factory.mktemp("skin")
    prepare_data().write_dataset(write_ham10000(folder / "source"), folder / "data")
    return str(folder / "data")


@pytest.fixture
def make(data, tmp_path) -> Iterator[Callable[..., ConfigWorkflow]]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    yield from making(CONFIGS, data, tmp_path, batch_size=20)
