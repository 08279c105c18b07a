# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of maps and labels as everybody writes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import IntraClassVariationLoss, RegionAffinityLoss
from tests.benchmarks.loss_case import LossCase

CLASSES = 3


def masks(label: Tensor) -> list[Tensor]:
    return [(label == c).float().flatten(1).unsqueeze(1) for c in range(CLASSES)]


def means(features: Tensor, label: Tensor) -> list[Tensor]:
    return [(features * m).sum(2, True) / m.sum(2, True).clamp(min=1) for m in masks(label)]


def intra_class_variation(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    variation = []
    for x in (input.flatten(2), target.flatten(2)):
        centre = x.clone()
        for m, mean in zip(masks(label), means(x, label), strict=True):
            centre = (1 - m) * centre + m * mean
        variation.append(F.cosine_similarity(x, centre, 1))
    return F.mse_loss(*variation)


def region_affinity(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    affinity = []
    for x in (input.flatten(2), target.flatten(2)):
        v = F.normalize(torch.cat(means(x, label), 2), dim=1)
        affinity.append(v.mT @ v)
    return F.mse_loss(*affinity)


def labels(shape: tuple[int, ...]) -> dict[str, Tensor]:
    return {"label": torch.randint(CLASSES, (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(0))}


CASES = [
    LossCase("IntraClassVariationLoss", "V", lambda: IntraClassVariationLoss(CLASSES), intra_class_variation, labels),
    LossCase("RegionAffinityLoss", "V", lambda: RegionAffinityLoss(CLASSES), region_affinity, labels),
]
