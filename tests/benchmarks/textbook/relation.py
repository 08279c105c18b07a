# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of relations between samples as everybody writes them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import (
    CorrelationCongruenceLoss,
    LowRankLoss,
    PKTLoss,
    RKDLoss,
    SampleRelationLoss,
    SimilarityPreservingLoss,
)
from tests.benchmarks.loss_case import LossCase


def pool(x: Tensor) -> Tensor:
    return x.flatten(2).mean(2) if x.ndim > 2 else x


def distances(x: Tensor) -> Tensor:
    square = x.square().sum(1)
    d = (square + square.unsqueeze(1) - 2 * x @ x.T).clamp(min=1e-12).sqrt()
    d = d * (1 - torch.eye(len(x)))
    return d / d[d > 0].mean()


def rkd_distance(input: Tensor, target: Tensor) -> Tensor:
    return 25 * F.smooth_l1_loss(distances(pool(input)), distances(pool(target)))


def angles(x: Tensor) -> Tensor:
    e = F.normalize(x.unsqueeze(0) - x.unsqueeze(1), dim=2)
    return e @ e.mT


def rkd_angle(input: Tensor, target: Tensor) -> Tensor:
    return 50 * F.smooth_l1_loss(angles(pool(input)), angles(pool(target)))


def sp(input: Tensor, target: Tensor) -> Tensor:
    s, t = (F.normalize(x.flatten(1) @ x.flatten(1).T, dim=1) for x in (input, target))
    return (s - t).square().sum() / len(s) ** 2


def pkt(input: Tensor, target: Tensor) -> Tensor:
    s, t = (F.normalize(x.flatten(1), dim=1) for x in (input, target))
    s, t = ((x @ x.T + 1) / 2 for x in (s, t))
    s, t = s / s.sum(1, keepdim=True), t / t.sum(1, keepdim=True)
    return (t * torch.log((t + 1e-7) / (s + 1e-7))).mean()


def cckd(input: Tensor, target: Tensor, gamma: float = 0.4) -> Tensor:
    kernels = []
    for x in (input, target):
        x = F.normalize(x.flatten(1), dim=1)
        g = x @ x.T
        kernels.append(math.exp(-2 * gamma) * sum((2 * gamma * g) ** p / math.factorial(p) for p in range(3)))
    return (kernels[0] - kernels[1]).square().mean()


def sample_relation(input: Tensor, target: Tensor) -> Tensor:
    return len(input) * sp(input, target)


def low_rank(input: Tensor, target: Tensor) -> Tensor:
    a = torch.stack([F.normalize(x.flatten(1) @ x.flatten(1).T, dim=1) for x in (input, target)], 2)
    u, s, v = torch.linalg.svd(torch.fft.fft(a.detach().permute(1, 0, 2), dim=0), full_matrices=False)
    low = (u * (s - 0.1).clamp(min=0).unsqueeze(1)) @ v
    return (a - torch.fft.ifft(low, dim=0).real.permute(1, 0, 2)).square().sum() / 2


CASES = [
    LossCase("RKDLoss", "E256", lambda: RKDLoss(25, 0), rkd_distance),
    LossCase("RKDLoss", "M", lambda: RKDLoss(25, 0), rkd_distance),
    LossCase("RKDLoss", "E64", lambda: RKDLoss(0, 50), rkd_angle, time=0.08),
    LossCase("RKDLoss", "E256", lambda: RKDLoss(0, 50), rkd_angle, time=0.08),
    LossCase("SimilarityPreservingLoss", "M", SimilarityPreservingLoss, sp, time=1.0),
    LossCase("SimilarityPreservingLoss", "V", SimilarityPreservingLoss, sp, time=1.0),
    LossCase("PKTLoss", "E64", PKTLoss, pkt, time=1.0),
    LossCase("PKTLoss", "M", PKTLoss, pkt, time=1.0),
    LossCase("CorrelationCongruenceLoss", "M", CorrelationCongruenceLoss, cckd, time=1.0),
    LossCase("SampleRelationLoss", "E64", SampleRelationLoss, sample_relation),
    LossCase("SampleRelationLoss", "M", SampleRelationLoss, sample_relation),
    LossCase("LowRankLoss", "E64", LowRankLoss, low_rank),
    LossCase("LowRankLoss", "E256", LowRankLoss, low_rank),
]
