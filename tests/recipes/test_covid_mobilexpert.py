# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""COVID-MobileXpert: the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch

from monai_kd.recipes import load_recipe
from tests.recipes import plain


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("released", [False, True])
def test_a_step_is_the_method_restated(released, classes):
    student, teacher = plain.Net(3, classes=classes), plain.Net(5, classes=classes).eval()
    given = {"labeled_key": "labeled", "as_released": released, "num_classes": classes}
    method = load_recipe("covid_mobilexpert")(student, teacher, **given)
    x, label = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 0, 2])
    labeled = torch.tensor([True, True, False, True, True])
    batch = {"image": x, "label": label, "labeled": labeled}
    loss = plain.loss_of(method, student, batch)

    z = student(x)
    compact = torch.zeros((), dtype=torch.float64)
    for row, y, known in zip(z.softmax(1), label, labeled, strict=True):
        if known:
            compact = compact + sum((row[c] + 0.8 - row[y]).clamp(min=0) for c in range(classes) if c != y) / 4
    soft = plain.kl(z, teacher(x), 5.0)
    total = 0.2 * compact / (classes - 1) + 0.8 * soft / classes if released else 0.2 * compact + 0.8 * soft
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
