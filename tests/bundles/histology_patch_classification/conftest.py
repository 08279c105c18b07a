# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle on thinned-out data, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from monai.bundle import ConfigWorkflow

from monai_kd.data import write_ihc_patches
from tests.bundles.histology_patch_classification.workflows import CONFIGS
from tests.bundles.workflows import making


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """The demo data, thinned out: 40 training patches, two batches of 20."""
    return write_ihc_patches(tmp_path_factory.mktemp("data") / "ihc", stride=64)


@pytest.fixture
def make(data, tmp_path) -> Iterator[Callable[..., ConfigWorkflow]]:
    """Make an initialised workflow whose bundle root is a folder of the test's own."""

    yield from making(CONFIGS, data, tmp_path, batch_size=20, labeled_fraction=0.2)
