# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Distillation with smoothed labels: the gradients of a step, against the method restated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.recipes import load_recipe
from tests.recipes import plain


@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]], ids=["alike", "weighted"])
def test_a_step_is_the_method_restated(weight):
    student, teacher = plain.Net(3), plain.Net(5).eval()
    weight = torch.tensor(weight, dtype=torch.float64)
    method = load_recipe("cervical_kd")(student, teacher, **{"label_loss::weight": weight})
    x, label = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 0, 2])
    batch = {"image": x, "label": label}
    loss = plain.loss_of(method, student, batch)

    z = student(x)
    smooth = torch.zeros((), dtype=torch.float64)
    for row, y in zip(z.log_softmax(1), label, strict=True):
        smooth = (
            smooth - sum(weight[c] * (0.9 * float(c == y) + 0.1 / 3) * row[c] for c in range(3)) / weight[label].sum()
        )
    total = 0.3 * smooth + 0.7 * plain.kl(z, teacher(x), 4.0)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_a_bundle_keeps_its_weights_of_classes():
    bundle = Path(__file__).parents[2] / "bundles" / "skin_lesion_classification" / "configs" / "train.yaml"
    recipe = load_recipe("cervical_kd").path
    loss = ConfigParser.load_config_files([str(bundle), str(recipe)])["label_loss"]
    assert loss["weight"] == "@class_weights" and loss["label_smoothing"] == 0.1
