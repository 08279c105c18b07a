# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive losses as everybody writes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from monai_kd.losses import (
    ClassGuidedContrastiveLoss,
    ClassRelationLoss,
    CRDLoss,
    InfoNCELoss,
    NTXentLoss,
    PrototypeClusterLoss,
    PrototypeSeparationLoss,
    SelfSupervisedSimilarityLoss,
    VICRegLoss,
)
from monai_kd.networks import MemoryBank
from tests.benchmarks.loss_case import LossCase

SAMPLES, NEGATIVES, WIDTH, TAU = 50_000, 16_384, 128, 0.07


class Ours(nn.Module):
    """Bank and loss, the others drawn by the benchmark's seed."""

    def __init__(self) -> None:
        super().__init__()
        self.bank, self.loss = bank(), CRDLoss()

    def forward(self, input: Tensor, target: Tensor, index: Tensor) -> Tensor:
        torch.manual_seed(1)
        logits = self.bank(input, target, index)
        return self.loss(logits["input"], logits["target"])


def bank() -> MemoryBank:
    """A bank that does not move, so that both forms see the same."""
    torch.manual_seed(0)
    return MemoryBank(SAMPLES, WIDTH, NEGATIVES, TAU).eval()


class Textbook:
    """The rows of the bank are gathered, one copy for each pair, as published."""

    def __init__(self) -> None:
        memory = bank()
        self.banks = memory.target_bank, memory.input_bank
        self.z: list[float | None] = [None, None]

    def __call__(self, input: Tensor, target: Tensor, index: Tensor) -> Tensor:
        torch.manual_seed(1)
        others = torch.randint(SAMPLES - 1, (len(index), NEGATIVES))
        chosen = torch.cat([index.unsqueeze(1), others + (others >= index.unsqueeze(1))], 1)
        total = input.new_zeros(())
        for k, x in enumerate((input, target)):
            rows = self.banks[k].index_select(0, chosen.flatten()).reshape(len(index), NEGATIVES + 1, WIDTH)
            powers = torch.exp(torch.bmm(rows, x.unsqueeze(2)).squeeze(2) / TAU)
            self.z[k] = z = self.z[k] or float(powers.mean()) * SAMPLES
            e, noise = powers / z, NEGATIVES / SAMPLES
            total = total - torch.log(e[:, 0] / (e[:, 0] + noise)).sum() - torch.log(noise / (e[:, 1:] + noise)).sum()
        return total / len(index)


_TEXTBOOK: list[Textbook] = []


def crd(input: Tensor, target: Tensor, index: Tensor) -> Tensor:
    if not _TEXTBOOK:
        _TEXTBOOK.append(Textbook())
    return _TEXTBOOK[0](input, target, index)


def embeddings(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    x, y = (normalize(torch.randn(shape[0], WIDTH), dim=1) for _ in range(2))
    return x.requires_grad_(), y.requires_grad_(), torch.randint(SAMPLES, (shape[0],))


def info_nce(input: Tensor, target: Tensor) -> Tensor:
    g, same = normalize(input) @ normalize(target).T / 0.07, torch.arange(len(input))
    return (cross_entropy(g, same) + cross_entropy(g.T, same)) / 2


def nt_xent(input: Tensor, target: Tensor) -> Tensor:
    x = normalize(torch.cat([input, target]))
    g = (x @ x.T / 0.5).masked_fill(torch.eye(len(x), dtype=torch.bool), -torch.inf)
    return cross_entropy(g, torch.arange(len(x)).roll(len(input)))


def vicreg(*views: Tensor) -> Tensor:
    a, b = views
    total = 25 * (a - b).square().mean()
    for z in views:
        c = z - z.mean(0)
        cov = c.T @ c / len(z)
        total = total + 12.5 * (1 - (c.square().mean(0) + 1e-4).sqrt()).clamp(min=0).mean()
        total = total + (cov.square().sum() - cov.diagonal().square().sum()) / z.shape[1] / 2
    return total


def self_supervised_similarity(x: Tensor, x_views: Tensor, t: Tensor, t_views: Tensor) -> Tensor:
    s, t = (normalize(views) @ normalize(plain).T / 0.5 for plain, views in ((x, x_views), (t, t_views)))
    return 0.25 * (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1).mean()


def class_relation(x: Tensor, t: Tensor, x_centers: Tensor, t_centers: Tensor) -> Tensor:
    s, t = x @ x_centers.T / 0.07, t @ t_centers.T / 0.07
    return (t.softmax(1) * (t.log_softmax(1) - s.log_softmax(1))).sum(1).mean()


def class_guided(input: Tensor, target: Tensor) -> Tensor:
    total = input.new_zeros(())
    for a in (input, target):
        h = a.sigmoid()
        total = total - h[:, :20].log().mean(1).sum() - (1 - h[:, 20:]).log().sum()
    return total / len(input)


def cluster(distances: Tensor, label: Tensor) -> Tensor:
    own = torch.arange(distances.shape[1]) // 200 == label.unsqueeze(1)
    return distances.masked_fill(~own, torch.inf).min(1).values.mean()


def separation(distances: Tensor, label: Tensor) -> Tensor:
    own = torch.arange(distances.shape[1]) // 200 == label.unsqueeze(1)
    return torch.relu(10 - distances.masked_fill(own, torch.inf).min(1).values.mean())


def two_views(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    return torch.randn(shape).requires_grad_(), torch.randn(shape).requires_grad_()


def scores(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    return torch.randn(shape[0], 4116).requires_grad_(), torch.randn(shape[0], 4116).requires_grad_()


def distances(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """To 200 prototypes of each of 3 classes, and labels."""
    return torch.rand(shape[0], 600).requires_grad_(), torch.randint(3, (shape[0],))


def four(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    made = [normalize(torch.randn(shape), dim=1) for _ in range(4)]
    return (made[0].requires_grad_(), *made[1:])


CASES = [
    LossCase("CRDLoss", "E64", Ours, crd, pairs=embeddings, time=0.10, memory=100),
    LossCase("InfoNCELoss", "E256", InfoNCELoss, info_nce, pairs=two_views),
    LossCase("NTXentLoss", "E256", NTXentLoss, nt_xent, pairs=two_views),
    LossCase("VICRegLoss", "E256", VICRegLoss, vicreg, pairs=two_views),
    LossCase("ClassGuidedContrastiveLoss", "E64", ClassGuidedContrastiveLoss, class_guided, pairs=scores),
    LossCase(
        "SelfSupervisedSimilarityLoss", "E256", SelfSupervisedSimilarityLoss, self_supervised_similarity, pairs=four
    ),
    LossCase("ClassRelationLoss", "E64", ClassRelationLoss, class_relation, pairs=four),
    LossCase("PrototypeClusterLoss", "E64", lambda: PrototypeClusterLoss(3), cluster, pairs=distances),
    LossCase("PrototypeSeparationLoss", "E64", lambda: PrototypeSeparationLoss(3), separation, pairs=distances),
]
