# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""SRC-MT term by term, its schedule, and the gradients of a step, against the method restated."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from monai_kd.handlers import EMA, Weights
from monai_kd.recipes import load_recipe
from tests.recipes import plain

WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
LABEL = torch.tensor([0, 2, 1, 0, 2])
LABELED = torch.tensor([True, False, True, True, False])


def relation(f: Tensor) -> list[Tensor]:
    """Rows of the Gram matrix, each of length 1."""
    rows = [torch.stack([a @ b for b in f]) for a in f]
    return [row / row.norm() for row in rows]


def consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Summed over classes with their weights, mean over samples."""
    total = torch.zeros((), dtype=student.dtype)
    for s, t in zip(student, teacher.detach(), strict=True):
        p, q = torch.softmax(s, 0), torch.softmax(t, 0)
        total = total + sum(WEIGHT[c] * (p[c] - q[c]) ** 2 for c in range(3))
    return total / len(student)


def test_a_step_is_the_method_restated():
    student = plain.Net(3)
    method = load_recipe("src_mt")(
        student,
        layers={"student": "map"},
        example=plain.EXAMPLE,
        label_loss=nn.CrossEntropyLoss(WEIGHT),
        labeled_key="labeled",
        consistency_class_weights=WEIGHT,
    )
    teacher = method.inferer.networks["teacher"].network
    with torch.no_grad():
        teacher.head.weight.add_(0.3)  # the average is not the student
        teacher.conv.weight.mul_(1.2)
    views = {key: torch.randn(5, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    batch = {**views, "label": LABEL, "labeled": LABELED}
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(20)
    loss = plain.loss_of(method, student, batch)

    f_s = student.map(student.norm(student.conv(batch["image"]))).mean((2, 3))
    f_t = teacher.map(teacher.eval().norm(teacher.conv(batch["image_2"]))).mean((2, 3)).detach()
    z_s, z_t = student.head(f_s), teacher.head(f_t)
    apart = zip(relation(f_s), relation(f_t), strict=True)
    terms = {
        "label": plain.weighted_cross_entropy(z_s[LABELED], LABEL[LABELED], WEIGHT),
        "consistency": consistency(z_s, z_t) / 3,
        "relation": sum((s - t).square().sum() for s, t in apart) / 5,
    }
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in terms.items()}, rel=1e-8
    )
    ramp = math.exp(-5 * (1 - 20 / 30) ** 2)
    total = terms["label"] + ramp * (3 * terms["consistency"] + terms["relation"])
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_as_released_the_softmax_is_taken_twice():
    student, label = plain.Net(3), torch.tensor([0, 2, 1])
    method = load_recipe("src_mt")(student, layers={"student": "map"}, example=plain.EXAMPLE, as_released=True)
    batch = {key: torch.randn(3, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")} | {"label": label}
    next(h for h in method.handlers if isinstance(h, Weights)).set(0)  # labels alone
    loss = plain.loss_of(method, student, batch)
    total = plain.cross_entropy(student(batch["image"]).softmax(1), label)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))


@pytest.mark.parametrize("released", [False, True])
def test_as_released_the_teacher_is_in_train_mode_with_statistics_of_its_own(released):
    student = plain.Net(3)
    student.map = nn.Sequential(nn.Tanh(), nn.Dropout(0.5))
    given = {"layers": {"student": "map"}, "example": plain.EXAMPLE, "max_epochs": 5, "as_released": released}
    method = load_recipe("src_mt")(student, **given)
    views = {key: 3 + torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    batch = {**views, "label": torch.tensor([0, 2, 1, 0])}
    plain.trainer(method, student, [batch], epochs=5).run()
    passed = method.inferer.networks["teacher"]
    assert passed(batch["image"]).equal(passed(batch["image"])) != released  # dropout
    assert passed.network.norm.running_mean.equal(student.norm.running_mean) != released
    assert passed.network.norm.running_mean.any()


def test_labels_alone_teach_in_the_first_fifth():
    student = plain.Net(3)
    method = load_recipe("src_mt")(student, layers={"student": "map"}, example=plain.EXAMPLE)
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    weights = {epoch: [] for epoch in (0, 19, 20, 30, 99)}
    for epoch, found in weights.items():
        schedule.set(epoch)
        found += [method.objective.term(name).weight for name in ("label", "consistency", "relation")]
    assert weights[0] == weights[19] == [1, 0, 0]
    assert weights[30] == weights[99] == [1, 3, 1] and 0 < weights[20][2] < 1
    assert any(isinstance(h, EMA) and h.momentum == 0.99 for h in method.handlers)
