# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What dense losses hold at their peak, beyond what they are given: the gradient and little else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from monai_kd import losses
from tests.benchmarks.memory import CLEAR, resident_peak

VOLUMES = (2, 32, 64, 64, 64)  # 64 MiB in float32
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLEAR.exists(), reason="the peak of the resident set is read from Linux"),
]


def step(name: str) -> Callable[[], None]:
    """Forward and backward on volumes."""
    loss, target = getattr(losses, name)(), torch.randn(VOLUMES)
    input = torch.randn(VOLUMES).requires_grad_()

    def run() -> None:
        loss(input, target).backward()
        input.grad = None

    return run


@pytest.mark.parametrize(
    ("name", "beyond"),
    [("KDLoss", 10), ("ChannelWiseKDLoss", 10), ("AttentionTransferLoss", 8)],  # of attention transfer the aim is 5
)
def test_volumes_cost_the_gradient_and_little_more(name, beyond):
    peak = resident_peak(step, name, over_built=True)
    assert peak is not None and 63 < peak <= 64 + beyond
