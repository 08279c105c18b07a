# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Contrastive losses as everybody writes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from monai_kd.losses import CRDLoss
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


CASES = [LossCase("CRDLoss", "E64", Ours, crd, pairs=embeddings, time=0.10, memory=100)]
