# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of where networks look as everybody writes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.data.box_utils import box_pair_giou
from torch import Tensor

from monai_kd.losses import AttentionKDLoss, AttentionOverlapLoss, BoxTransferLoss, CAMTransferLoss, GazeTransferLoss
from tests.benchmarks.loss_case import LossCase


def attention_kd(input: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(input.log_softmax(1), target.log_softmax(1), log_target=True, reduction="batchmean")


def cam_transfer(input: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(*(F.normalize(x.flatten(2), dim=2) for x in (input, target)))


def gaze_transfer(input: Tensor, target: Tensor) -> Tensor:
    heat = target.flatten(1)
    return F.kl_div(input.flatten(1).log_softmax(1), heat / heat.sum(1, True), reduction="batchmean")


def box_transfer(input: Tensor, target: Tensor) -> Tensor:
    low_high = [torch.cat([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2], 1) for x in (input, target)]
    return 0.2 * (1 - box_pair_giou(*low_high)).mean() + 0.8 * F.mse_loss(input, target)


def heat(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.randn(shape[0], 1, *shape[2:]).requires_grad_(), torch.rand(shape[0], 1, *shape[2:])


def boxes(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    made = [torch.rand(shape[0], 4) * 0.5 + 0.25 for _ in range(2)]
    return made[0].requires_grad_(), made[1]


def attention_overlap(input: Tensor, target: Tensor) -> Tensor:
    maps = []
    for x in (input.flatten(2), target.flatten(2)):
        low, high = x.amin(2, keepdim=True), x.amax(2, keepdim=True)
        maps.append(torch.sigmoid(100 * ((x - low) / (high - low) - 0.4)))
    return (maps[0] - maps[1]).square().sum() / (maps[0].sum() + maps[1].sum())


CASES = [
    LossCase("AttentionKDLoss", "E64", AttentionKDLoss, attention_kd),
    LossCase("CAMTransferLoss", "M", CAMTransferLoss, cam_transfer),
    LossCase("CAMTransferLoss", "V", CAMTransferLoss, cam_transfer),
    LossCase("AttentionOverlapLoss", "M", AttentionOverlapLoss, attention_overlap),
    LossCase("GazeTransferLoss", "M", GazeTransferLoss, gaze_transfer, pairs=heat),
    LossCase("GazeTransferLoss", "V", GazeTransferLoss, gaze_transfer, pairs=heat),
    LossCase("BoxTransferLoss", "E64", BoxTransferLoss, box_transfer, pairs=boxes),
]
