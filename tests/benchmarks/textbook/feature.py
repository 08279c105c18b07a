# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses of feature maps as everybody writes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.losses import (
    ABLoss,
    AttentionTransferLoss,
    ChannelGramLoss,
    FactorTransferLoss,
    FSPLoss,
    HCLLoss,
    HintLoss,
    LayerAttentionLoss,
    MGDLoss,
    NSTLoss,
    OFDLoss,
    SRDLoss,
    StructuralPairwiseLoss,
    VIDLoss,
)
from tests.benchmarks.loss_case import LossCase


def attention_transfer(input: Tensor, target: Tensor) -> Tensor:
    s, t = (F.normalize(x.square().mean(1).flatten(1), dim=1) for x in (input, target))
    return (s - t).square().mean()


def nst(input: Tensor, target: Tensor) -> Tensor:
    s, t = (F.normalize(x.flatten(2), dim=2) for x in (input, target))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.unsqueeze(2) * b.unsqueeze(1)).sum(-1).square().mean()  # [N, C, C, S], as published

    return kernel(s, s) + kernel(t, t) - 2 * kernel(s, t)


def channel_gram(input: Tensor, target: Tensor) -> Tensor:
    s, t = (x.flatten(2) @ x.flatten(2).mT / (x.shape[1] * x[0, 0].numel()) for x in (input, target))
    return (s - t).square().mean().sqrt()


def pairwise(input: Tensor, target: Tensor, pool: int = 4) -> Tensor:
    average = F.avg_pool2d if input.ndim == 4 else F.avg_pool3d
    s, t = (F.normalize(average(x, pool).flatten(2), dim=1) for x in (input, target))
    return (s.mT @ s - t.mT @ t).square().mean()


def fsp(a_s: Tensor, b_s: Tensor, a_t: Tensor, b_t: Tensor) -> Tensor:
    g_s, g_t = (a.flatten(2) @ b.flatten(2).mT / a[0, 0].numel() for a, b in ((a_s, b_s), (a_t, b_t)))
    return (g_s - g_t).square().mean()


def vid(input: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    v = variance.reshape(1, -1, *[1] * (input.ndim - 2))
    return 0.5 * ((input - target) ** 2 / v + v.log()).mean()


def ofd(input: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    target = torch.max(target, margin.reshape(1, -1, *[1] * (input.ndim - 2)))
    loss = F.mse_loss(input, target, reduction="none")
    return (loss * ((input > target) | (target > 0)).float()).sum() / len(input)


def ab(input: Tensor, target: Tensor, margin: float = 1.0) -> Tensor:
    low = ((input > -margin) & (target <= 0)).float() * (input + margin) ** 2
    return (low + ((input <= margin) & (target > 0)).float() * (input - margin) ** 2).sum() / len(input)


def hcl(input: Tensor, target: Tensor) -> Tensor:
    total, weights, weight = F.mse_loss(input, target), 1.0, 1.0
    pool = F.adaptive_avg_pool2d if input.ndim == 4 else F.adaptive_avg_pool3d
    for level in (4, 2, 1):
        weight /= 2
        total = total + weight * F.mse_loss(pool(input, level), pool(target, level))
        weights += weight
    return total / weights


def two_layers(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    maps = [torch.randn(shape) for _ in range(4)]
    return maps[0].requires_grad_(), maps[1].requires_grad_(), maps[2], maps[3]


def mgd(input: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(input, target, reduction="sum") / len(input)


def srd(input: Tensor, target: Tensor) -> Tensor:
    return torch.log(1e-5 + (input - target).abs().pow(4).sum())


def factor_transfer(input: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(F.normalize(input.flatten(1)), F.normalize(target.flatten(1)))


def layer_attention(distance: Tensor, attention: Tensor) -> Tensor:
    return (distance * attention).sum(2).mean()


def nine_pairs(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.rand(shape[0], 3, 3).requires_grad_(), torch.rand(shape[0], 3, 3).softmax(2).requires_grad_()


CASES = [
    LossCase("AttentionTransferLoss", "M", AttentionTransferLoss, attention_transfer, memory=5),
    LossCase("AttentionTransferLoss", "V", AttentionTransferLoss, attention_transfer, memory=5),
    LossCase("NSTLoss", "M", NSTLoss, nst, time=0.02),
    LossCase("NSTLoss", "V", NSTLoss, nst, time=0.10),
    LossCase("ChannelGramLoss", "X", ChannelGramLoss, channel_gram, time=0.05),
    LossCase("ChannelGramLoss", "V", ChannelGramLoss, channel_gram),
    LossCase("StructuralPairwiseLoss", "V", lambda: StructuralPairwiseLoss(4), pairwise, time=0.15),
    LossCase("StructuralPairwiseLoss", "V", lambda: StructuralPairwiseLoss(1), None),
    LossCase("FSPLoss", "M", FSPLoss, fsp, pairs=two_layers, time=1.0),
    LossCase("FSPLoss", "V", FSPLoss, fsp, pairs=two_layers, time=1.0),
    LossCase("VIDLoss", "M", VIDLoss, vid, lambda shape: {"variance": torch.full((shape[1],), 2.0)}, time=1.0),
    LossCase("OFDLoss", "M", OFDLoss, ofd, lambda shape: {"margin": torch.full((shape[1],), -0.8)}),
    LossCase("ABLoss", "M", ABLoss, ab),
    LossCase("HCLLoss", "M", HCLLoss, hcl, time=1.0),
    LossCase("HCLLoss", "V", HCLLoss, hcl, time=1.0),
    LossCase("HintLoss", "M", HintLoss, F.mse_loss),
    LossCase("HintLoss", "V", HintLoss, F.mse_loss),
    LossCase("MGDLoss", "M", MGDLoss, mgd),
    LossCase("MGDLoss", "V", MGDLoss, mgd),
    LossCase("SRDLoss", "E256", SRDLoss, srd),
    LossCase("SRDLoss", "M", SRDLoss, srd),
    LossCase("FactorTransferLoss", "M", FactorTransferLoss, factor_transfer),
    LossCase("FactorTransferLoss", "V", FactorTransferLoss, factor_transfer),
    LossCase("LayerAttentionLoss", "E64", LayerAttentionLoss, layer_attention, pairs=nine_pairs),
]
