# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Distillation with smoothed labels: the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch

from monai_kd.recipes import load_recipe
from tests.recipes import plain


def test_a_step_is_the_method_restated():
    student, teacher = plain.Net(3), plain.Net(5).eval()
    method = load_recipe("cervical_kd")(student, teacher)
    x, label = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 0, 2])
    batch = {"image": x, "label": label}
    loss = method.objective(method.inferer(batch, student, method.objective.needs()), batch)

    z = student(x)
    smooth = torch.zeros((), dtype=torch.float64)
    for row, y in zip(z.log_softmax(1), label, strict=True):
        smooth = smooth - sum((0.9 * float(c == y) + 0.1 / 3) * row[c] for c in range(3)) / 5
    total = 0.3 * smooth + 0.7 * plain.kl(z, teacher(x), 4.0)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
