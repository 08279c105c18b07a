# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of logits as everybody writes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import (
    BinaryKDLoss,
    ChannelWiseKDLoss,
    ConsensusLoss,
    CurriculumKDLoss,
    DISTLoss,
    DKDLoss,
    KDLoss,
    LogitMSELoss,
    LogitStandardizedKDLoss,
    MarginKDLoss,
    OFAKDLoss,
    ProbabilisticallyCompactLoss,
    ProbabilityMSELoss,
    SoftTargetKDLoss,
    SubsetKDLoss,
)
from tests.benchmarks.loss_case import LossCase


def kd(input: Tensor, target: Tensor, temperature: float = 4.0) -> Tensor:
    s, t = F.log_softmax(input / temperature, 1), F.log_softmax(target / temperature, 1)
    return temperature**2 * F.kl_div(s, t, log_target=True, reduction="none").sum(1).mean()


def binary_kd(input: Tensor, target: Tensor, temperature: float = 2.0) -> Tensor:
    s, t = input / temperature, target / temperature
    cross = F.binary_cross_entropy_with_logits(s, t.sigmoid(), reduction="none")
    entropy = F.binary_cross_entropy_with_logits(t, t.sigmoid(), reduction="none")
    return temperature**2 * (cross - entropy).sum(1).mean()


def channel_wise_kd(input: Tensor, target: Tensor, temperature: float = 4.0) -> Tensor:
    s, t = (x.flatten(2) / temperature for x in (input, target))
    return temperature**2 * (t.softmax(2) * (t.log_softmax(2) - s.log_softmax(2))).sum(2).mean()


def dkd(input: Tensor, target: Tensor, label: Tensor, temperature: float = 4.0, beta: float = 8.0) -> Tensor:
    """In log space: the form with log(softmax sums) is not a number for sharp logits."""
    s, t = (x.movedim(1, -1).flatten(0, -2) / temperature for x in (input, target))
    true = F.one_hot(label.flatten(), s.shape[1]).bool()
    log_s, log_t = s.log_softmax(1), t.log_softmax(1)
    b_s, b_t = (torch.stack([p[true], p.masked_fill(true, -torch.inf).logsumexp(1)], 1) for p in (log_s, log_t))
    target_part = F.kl_div(b_s, b_t, log_target=True, reduction="none").sum(1)
    n_s, n_t = (x.masked_fill(true, -1e4).log_softmax(1) for x in (s, t))
    other_part = (n_t.exp() * (n_t - n_s)).sum(1)
    return temperature**2 * (target_part + beta * other_part).mean()


def lskd(input: Tensor, target: Tensor, temperature: float = 2.0) -> Tensor:
    return kd(*((x - x.mean(1, True)) / (x.std(1, keepdim=True) + 1e-7) for x in (input, target)), temperature)


def dist(input: Tensor, target: Tensor) -> Tensor:
    s, t = (x.movedim(1, -1).flatten(0, -2).softmax(1) for x in (input, target))
    rows = F.cosine_similarity(s - s.mean(1, True), t - t.mean(1, True), 1)
    classes = F.cosine_similarity(s - s.mean(0), t - t.mean(0), 0)
    return (1 - rows.mean()) + (1 - classes.mean())


def ofa(input: Tensor, target: Tensor, label: Tensor, gamma: float = 1.5) -> Tensor:
    hot = F.one_hot(label, input.shape[1]).movedim(-1, 1)
    return -(((target.softmax(1) + hot) ** gamma - hot) * input.log_softmax(1)).sum(1).mean()


def labels(shape: tuple[int, ...]) -> dict[str, Tensor]:
    return {"label": torch.randint(shape[1], (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(0))}


def consensus(input: Tensor, target: Tensor) -> Tensor:
    return (input.softmax(1) - target.softmax(1)).square().sum(1).mean() / 3  # all are labelled


def probability_mse(input: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(input.softmax(1), target.softmax(1))


def subset_kd(input: Tensor, target: Tensor, temperature: float = 4.0) -> Tensor:
    return kd(input[:, [0, 2, 3]], target, temperature)


def subset_pair(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.randn(shape).requires_grad_(), torch.randn(shape[0], 3, *shape[2:])


def margin_kd(input: Tensor, target: Tensor, label: Tensor) -> Tensor:
    s, t = (x.softmax(1).gather(1, label.unsqueeze(1)) for x in (input, target))
    return (t - s + 0.2).clamp(min=0).mean()


def compact(input: Tensor, label: Tensor) -> Tensor:
    p = input.softmax(1)
    behind = (p - p.gather(1, label.unsqueeze(1)) + 0.8).clamp(min=0)
    return (behind.sum(1) - 0.8).mean()  # less the true class itself


def labeled(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.randn(shape).requires_grad_(), torch.randint(shape[1], (shape[0], *shape[2:]))


def curriculum_kd(input: Tensor, target: Tensor, temperature: Tensor) -> Tensor:
    return kd(input, target, temperature)  # type: ignore[arg-type]


def positive(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.randn(shape).requires_grad_(), torch.randn(shape).softmax(1)


def soft_target_kd(input: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(input.log_softmax(1), target, reduction="none").sum(1).mean()


CASES = [
    LossCase("KDLoss", "L", KDLoss, kd),
    LossCase("KDLoss", "V", KDLoss, kd, time=0.30, memory=10),
    LossCase("BinaryKDLoss", "V", BinaryKDLoss, binary_kd),
    LossCase("ChannelWiseKDLoss", "M", ChannelWiseKDLoss, channel_wise_kd),
    LossCase("ChannelWiseKDLoss", "V", ChannelWiseKDLoss, channel_wise_kd, time=0.30, memory=10),
    LossCase("DKDLoss", "L", DKDLoss, dkd, labels),
    LossCase("DKDLoss", "V", DKDLoss, dkd, labels),
    LossCase("LogitStandardizedKDLoss", "V", LogitStandardizedKDLoss, lskd),
    LossCase("DISTLoss", "L", DISTLoss, dist),
    LossCase("OFAKDLoss", "L", OFAKDLoss, ofa, labels),
    LossCase("LogitMSELoss", "L", LogitMSELoss, F.mse_loss),
    LossCase("LogitMSELoss", "V", LogitMSELoss, F.mse_loss),
    LossCase("ProbabilityMSELoss", "L", ProbabilityMSELoss, probability_mse),
    LossCase("ProbabilityMSELoss", "V", ProbabilityMSELoss, probability_mse),
    LossCase("ConsensusLoss", "L", ConsensusLoss, consensus),
    LossCase("ConsensusLoss", "V", ConsensusLoss, consensus),
    LossCase("SoftTargetKDLoss", "L", SoftTargetKDLoss, soft_target_kd, pairs=positive),
    LossCase("SoftTargetKDLoss", "V", SoftTargetKDLoss, soft_target_kd, pairs=positive),
    LossCase("SubsetKDLoss", "L", lambda: SubsetKDLoss([0, 2, 3]), subset_kd, pairs=subset_pair),
    LossCase("MarginKDLoss", "L", MarginKDLoss, margin_kd, labels),
    LossCase("MarginKDLoss", "V", MarginKDLoss, margin_kd, labels),
    LossCase("ProbabilisticallyCompactLoss", "L", ProbabilisticallyCompactLoss, compact, pairs=labeled),
    LossCase("CurriculumKDLoss", "L", CurriculumKDLoss, curriculum_kd, lambda _: {"temperature": torch.tensor(3.0)}),
    LossCase("CurriculumKDLoss", "V", CurriculumKDLoss, curriculum_kd, lambda _: {"temperature": torch.tensor(3.0)}),
]
