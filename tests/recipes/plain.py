# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Formulas of published methods as loops, written from the papers; and networks and pictures to try them on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.engines import DistillationTrainer
from monai_kd.recipes import Distillation


class Net(nn.Module):
    """A convolution, a map, a head: in float64."""

    def __init__(self, width: int, classes: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.map = nn.Tanh()
        self.head = nn.Linear(width, classes)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.map(self.norm(self.conv(x))).mean((2, 3)))


LAYERS = {"student": "map", "teacher": "map"}
EXAMPLE = torch.zeros(2, 2, 6, 6, dtype=torch.float64)


def loss_of(method: Distillation, student: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """What a recipe minimises, on a batch."""
    return method.objective(method.inferer(batch, student, method.objective.needs()), batch)


def trainer(
    method: Distillation, student: nn.Module, data: Iterable[Any], epochs: int = 2, lr: float = 0.01
) -> DistillationTrainer:
    """The trainer of a recipe, by plain descent."""
    return DistillationTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=data,
        network=student,
        optimizer=torch.optim.SGD(method.parameters, lr=lr),
        loss_function=method.objective,
        inferer=method.inferer,
        train_handlers=method.handlers,
    )


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return sum(-torch.log_softmax(z, 0)[y] for z, y in zip(logits, label, strict=True)) / len(label)


def weighted_cross_entropy(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    total = sum(-weight[y] * torch.log_softmax(z, 0)[y] for z, y in zip(logits, label, strict=True))
    return total / weight[label].sum()


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(p_t || p_s), summed over classes, mean over rows."""
    total = torch.zeros((), dtype=student.dtype)
    for s, t in zip(student, teacher.detach(), strict=True):
        p, q = torch.softmax(t / temperature, 0), torch.softmax(s / temperature, 0)
        total = total + sum(p[c] * (p[c].log() - q[c].log()) for c in range(len(p)))
    return temperature**2 * total / len(student)


def contrast(g: Tensor, bank: Tensor, chosen: Tensor, positives: int, tau: float = 0.07) -> Tensor:
    """One direction: positives averaged, negatives summed, the noise mass K / N; Z of this, the first batch."""
    n, negatives = len(bank), chosen.shape[1] - positives
    scores = [[torch.exp(x @ bank[j] / tau) for j in row] for x, row in zip(g, chosen.tolist(), strict=True)]
    z = (n * torch.stack([torch.stack(row) for row in scores]).mean()).detach()
    total = torch.zeros((), dtype=g.dtype)
    for row in scores:
        h = [e / z / (e / z + negatives / n) for e in row]
        total = total - sum(x.log() for x in h[:positives]) / positives - sum((1 - x).log() for x in h[positives:])
    return total / len(g)


def huber(d: Tensor) -> Tensor:
    return 0.5 * d**2 if d.abs() < 1 else d.abs() - 0.5


def relations(f: Tensor) -> tuple[dict, dict]:
    """Distances over their mean, and cosines of angles at the middle sample, of embeddings [N, D]."""
    n = len(f)
    zero = torch.zeros((), dtype=f.dtype)
    distance = {(i, j): (f[i] - f[j]).norm() if i != j else zero for i in range(n) for j in range(n)}
    mean = sum(d for d in distance.values() if d > 0) / (n * (n - 1))
    edge = {(i, j): (f[i] - f[j]) / distance[i, j] if i != j else zero * f[0] for i in range(n) for j in range(n)}
    angle = {(i, j, k): edge[i, j] @ edge[k, j] for i in range(n) for j in range(n) for k in range(n)}
    return {key: d / mean for key, d in distance.items()}, angle


def rkd(student: Tensor, teacher: Tensor) -> Tensor:
    """25 RKD-D + 50 RKD-A."""
    (d_s, a_s), (d_t, a_t) = relations(student), relations(teacher.detach())
    distance = sum(huber(d_s[key] - d_t[key]) for key in d_s) / len(d_s)
    angle = sum(huber(a_s[key] - a_t[key]) for key in a_s) / len(a_s)
    return 25 * distance + 50 * angle


def channel_gram(student: Tensor, teacher: Tensor) -> Tensor:
    """The root of the mean squared difference of channel Gram matrices over C H W."""
    total, entries = torch.zeros((), dtype=student.dtype), 0
    for s, t in zip(student.flatten(2), teacher.detach().flatten(2), strict=True):
        for a in range(len(s)):
            for b in range(len(s)):
                total = total + ((s[a] @ s[b] - t[a] @ t[b]) / s.numel()) ** 2
                entries += 1
    return (total / entries).sqrt()


def gradients(loss: Tensor, *networks: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [p for n in networks for p in n.parameters()], retain_graph=True))


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether gradients agree, and are not all zero."""
    agree = all(torch.allclose(a, b, rtol=1e-7, atol=1e-10) for a, b in zip(first, second, strict=True))
    return agree and any(a.abs().max() > 1e-6 for a in first)
