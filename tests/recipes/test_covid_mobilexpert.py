# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""COVID-MobileXpert: the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch

from monai_kd.recipes import load_recipe
from tests.recipes import plain


@pytest.mark.parametrize("released", [False, True])
def test_a_step_is_the_method_restated(released):
    student, teacher = plain.Net(3), plain.Net(5).eval()
    method = load_recipe("covid_mobilexpert")(student, teacher, labeled_key="labeled", as_released=released)
    x, label = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 0, 2])
    labeled = torch.tensor([True, True, False, True, True])
    batch = {"image": x, "label": label, "labeled": labeled}
    loss = plain.loss_of(method, student, batch)

    z = student(x)
    compact = torch.zeros((), dtype=torch.float64)
    for row, y, known in zip(z.softmax(1), label, labeled, strict=True):
        if known:
            compact = compact + sum((row[c] + 0.8 - row[y]).clamp(min=0) for c in range(3) if c != y) / 4
    soft = plain.kl(z, teacher(x), 5.0)
    total = 0.2 * compact / 2 + 0.8 * soft / 3 if released else 0.2 * compact + 0.8 * soft
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
