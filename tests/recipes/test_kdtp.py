# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""KDTP: the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain


class Stages(nn.Module):
    """Three maps, each half as large as the last, and a head: in float64."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low, self.middle, self.high = (nn.Conv2d(c, width, 3, 2, 1) for c in (2, width, width))
        self.head = nn.Linear(width, 3)
        self.double()

    def maps(self, x: Tensor) -> list[Tensor]:
        low = self.low(x)
        middle = self.middle(low)
        return [low, middle, self.high(middle)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)[2].mean((2, 3)))


def test_a_step_is_the_method_restated():
    student, teacher = Stages(3), Stages(4).eval()
    names = ["low", "middle", "high"]
    method = load_recipe("kdtp")(
        student, teacher, layers={"student": names, "teacher": names}, example=torch.zeros(1, 2, 16, 16).double()
    )
    layers = method.inferer.networks["layers"].double()
    with torch.no_grad():
        layers.theta.copy_(torch.arange(9.0).reshape(3, 3) / 5)  # as if it had learnt
    batch = {"image": torch.randn(5, 2, 16, 16, dtype=torch.float64), "label": torch.tensor([0, 2, 1, 0, 2])}
    loss = plain.loss_of(method, student, batch)

    x, total = batch["image"], torch.zeros((), dtype=torch.float64)
    for i, s in enumerate(student.maps(x)):
        powers = [layers.theta[i, j].exp() for j in range(3)]
        for j, t in enumerate(teacher.maps(x)):
            size = min(s.shape[-1], t.shape[-1])
            smaller = [nn.functional.adaptive_avg_pool2d(m, size) for m in (s, t.detach())]
            apart = layers.phi[3 * i + j](smaller[0]) - smaller[1]
            total = total + powers[j] / sum(powers) * (apart**2).sum() / apart.numel() / 3
    z = student(x)
    hard = plain.cross_entropy(z, batch["label"])
    total = 50 * total + hard + plain.kl(z, teacher(x), 4.0)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student, layers), plain.gradients(total, student, layers))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
