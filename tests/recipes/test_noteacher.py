# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""NoTeacher: the gradients of a step, against the method restated without anything held constant."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain

SIGMA = (1.0, 2.0, 0.5)
LABEL = torch.tensor([0, 2, 1, 0, 2])
LABELED = [True, False, True, True, False]


@pytest.mark.parametrize("labeled", [LABELED, [True] * 5, [False] * 5], ids=["some", "all", "none"])
def test_a_step_is_the_method_restated(labeled):
    student = plain.Net(3)
    method = load_recipe("noteacher")(student, labeled_key="labeled", sigma=SIGMA, label_loss=nn.CrossEntropyLoss())
    peer = method.inferer.networks["peer"]
    views = {key: torch.randn(5, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    batch = {**views, "label": LABEL, "labeled": torch.tensor(labeled)}
    loss = plain.loss_of(method, student, batch)

    a, b, g = (1 / s**2 for s in SIGMA)
    z_1, z_2 = student(batch["image"]), peer(batch["image_2"])
    total = 0 * (z_1.sum() + z_2.sum())
    for i, known in enumerate(labeled):
        square = (torch.softmax(z_1[i], 0) - torch.softmax(z_2[i], 0)).square().sum()
        if known:
            ones = [-torch.log_softmax(z[i], 0)[LABEL[i]] for z in (z_1, z_2)]
            total = total + (a * g * ones[0] + b * g * ones[1] + a * b * square) / (a + b + g) / sum(labeled)
        else:
            total = total + a * b / (a + b) * square / (5 - sum(labeled))
    assert plain.same(plain.gradients(loss, student, peer), plain.gradients(total, student, peer))
    moved = [p for net in (student, peer) for p in net.parameters()]
    assert {id(p) for p in method.parameters} == {id(p) for p in moved}


def test_networks_start_apart_and_see_views_of_their_own():
    student = plain.Net(3)
    method = load_recipe("noteacher")(student)
    assert method.inferer.passes["peer"].keys == ("image_2",)
    assert not method.inferer.networks["peer"].conv.weight.equal(student.conv.weight)
