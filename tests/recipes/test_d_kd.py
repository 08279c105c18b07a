# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""D-KD term by term, and the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain


def test_a_step_is_the_method_restated():
    student, teacher, weight = plain.Net(3, stride=2), plain.Net(5), torch.tensor([1.0, 3.0, 7.0]).double()
    method = load_recipe("d_kd")(
        student, teacher.eval(), layers=plain.LAYERS, example=plain.EXAMPLE, label_loss=nn.CrossEntropyLoss(weight)
    )
    connector = method.inferer.networks["connector"].double()
    x, label = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 0, 0])
    batch = {"image": x, "label": label}
    loss = plain.loss_of(method, student, batch)

    map_s, map_t = (n.map(n.norm(n.conv(x))) for n in (student, teacher))
    grown = nn.functional.interpolate(connector.conv(map_s), (6, 6), mode="bilinear", align_corners=False)
    terms = {
        "label": plain.weighted_cross_entropy(student(x), label, weight),
        "kd": plain.kl(student(x), teacher(x), 5.0),
        "rkd": plain.rkd(map_s.mean((2, 3)), map_t.mean((2, 3))),
        "gram": plain.channel_gram(connector.norm(grown).relu(), map_t),
    }
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in terms.items()}, rel=1e-9
    )
    total = 0.5 * terms["label"] + 0.5 * terms["kd"] + terms["rkd"] + 1000 * terms["gram"]
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student, connector), plain.gradients(total, student, connector))
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_like_its_teacher_has_no_relation_to_learn():
    teacher = plain.Net(4).eval()
    method = load_recipe("d_kd")(teacher, teacher, layers=plain.LAYERS, example=plain.EXAMPLE)
    batch = {"image": torch.randn(5, 2, 6, 6, dtype=torch.float64), "label": torch.tensor([0, 2, 1, 0, 0])}
    method.inferer.networks["connector"].double()
    method.objective(method.inferer(batch, teacher), batch)
    assert method.objective.values["rkd"] == pytest.approx(0, abs=1e-12)
    assert method.objective.values["kd"] == pytest.approx(0, abs=1e-12)
