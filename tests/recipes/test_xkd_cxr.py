# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Several teachers of findings that may occur together: the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain


def test_a_step_is_the_method_restated():
    student, teachers = plain.Net(3), [plain.Net(5).eval() for _ in range(2)]
    method = load_recipe("xkd_cxr")(student, teachers=teachers, label_loss=nn.BCEWithLogitsLoss())
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    label = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    batch = {"image": x, "label": label}
    loss = plain.loss_of(method, student, batch)

    z, answers = student(x), [t(x).detach() for t in teachers]
    hard = soft = torch.zeros((), dtype=torch.float64)
    for i in range(5):
        for c in range(3):
            p = torch.sigmoid(z[i, c])
            hard = hard - (label[i, c] * p.log() + (1 - label[i, c]) * (1 - p).log()) / 15
            mean = sum(torch.sigmoid(a[i, c]) for a in answers) / 2
            q = torch.sigmoid(torch.log(mean / (1 - mean)) / 2)
            p = torch.sigmoid(z[i, c] / 2)
            soft = soft + 4 * (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()) / 15
    total = 0.5 * hard + 0.5 * soft
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for t in teachers for p in t.parameters())
