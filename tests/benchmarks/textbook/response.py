# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of logits as everybody writes them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import BinaryKDLoss, KDLoss
from tests.benchmarks.loss_case import LossCase


def kd(input: Tensor, target: Tensor, temperature: float = 4.0) -> Tensor:
    s, t = F.log_softmax(input / temperature, 1), F.log_softmax(target / temperature, 1)
    return temperature**2 * F.kl_div(s, t, log_target=True, reduction="none").sum(1).mean()


def binary_kd(input: Tensor, target: Tensor, temperature: float = 2.0) -> Tensor:
    s, t = input / temperature, target / temperature
    cross = F.binary_cross_entropy_with_logits(s, t.sigmoid(), reduction="none")
    entropy = F.binary_cross_entropy_with_logits(t, t.sigmoid(), reduction="none")
    return temperature**2 * (cross - entropy).sum(1).mean()


CASES = [
    LossCase("KDLoss", "L", KDLoss, kd),
    LossCase("KDLoss", "V", KDLoss, kd, time=0.30, memory=10),
    LossCase("BinaryKDLoss", "V", BinaryKDLoss, binary_kd),
]
