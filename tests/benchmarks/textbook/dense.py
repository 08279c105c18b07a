# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of maps and labels as everybody writes them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import (
    BoundaryKDLoss,
    CrossPseudoSupervisionLoss,
    IntraClassVariationLoss,
    PrototypeKDLoss,
    RegionAffinityLoss,
    RegionContextLoss,
    UncertaintyMaskedConsistencyLoss,
)
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


def prototype_kd(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    near = []
    for x in (input.flatten(2), target.flatten(2)):
        near.append(torch.stack([F.cosine_similarity(x, mean, 1) for mean in means(x, label)], 1))
    return F.mse_loss(*near)


def region_context(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    square, counts = (input - target).flatten(2).square().mean(1), [m.sum((1, 2)) for m in masks(label)]
    weights = torch.stack([n.rsqrt() for n in counts])
    weights = weights / weights.mean(0)
    parts = [(square * m.squeeze(1)).sum(1) / n for m, n in zip(masks(label), counts, strict=True)]
    return (weights * torch.stack(parts)).sum(0).mean()


def boundary_kd(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    border = torch.zeros_like(label, dtype=torch.bool)
    for c in range(CLASSES):
        inside = (label == c).float().unsqueeze(1)
        grown, shrunk = F.max_pool3d(inside, 5, 1, 2), -F.max_pool3d(-inside, 5, 1, 2)
        border |= ((grown - shrunk) > 0).squeeze(1)
    s, t = (input / 4).log_softmax(1), (target / 4).log_softmax(1)
    return 16 * (t.exp() * (t - s)).sum(1)[border].mean()


def two_halves(shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Borders in a plane alone, as labels have them."""
    label = torch.zeros((shape[0], *shape[2:]), dtype=torch.long)
    label[:, shape[2] // 2 :] = 1
    return {"label": label}


def cross_pseudo_supervision(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input, target.argmax(1))


def uncertainty_masked(input: Tensor, target: Tensor, probability: Tensor) -> Tensor:
    entropy = -(probability * probability.log()).sum(1)
    sure = (entropy < 0.75 * math.log(input.shape[1])).float()
    square = (input.softmax(1) - target.softmax(1)).square().mean(1)
    return (sure * square).sum() / sure.sum()


def probabilities(shape: tuple[int, ...]) -> dict[str, Tensor]:
    return {"probability": (3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).softmax(1)}


CASES = [
    LossCase("IntraClassVariationLoss", "V", lambda: IntraClassVariationLoss(CLASSES), intra_class_variation, labels),
    LossCase("RegionAffinityLoss", "V", lambda: RegionAffinityLoss(CLASSES), region_affinity, labels),
    LossCase("PrototypeKDLoss", "V", lambda: PrototypeKDLoss(CLASSES), prototype_kd, labels),
    LossCase("RegionContextLoss", "V", lambda: RegionContextLoss(CLASSES), region_context, labels),
    LossCase("BoundaryKDLoss", "V", BoundaryKDLoss, boundary_kd, two_halves),
    LossCase("CrossPseudoSupervisionLoss", "V", CrossPseudoSupervisionLoss, cross_pseudo_supervision),
    LossCase(
        "UncertaintyMaskedConsistencyLoss", "V", UncertaintyMaskedConsistencyLoss, uncertainty_masked, probabilities
    ),
]
