# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Grafting under several teachers, at each position, against the grafted network written out block by block."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain

STAGES = ["one", "two"]
ACCURACIES = [0.9, 0.75]
WRITTEN = ["s1 o1 h2 h3", "h1 i1 s2 o2 h3", "h1 h2 i2 s3", "s1 s2 o2 h3", "s1 s2 s3"]  # blocks and adapters, in order


class Net(nn.Module):
    """Three blocks, cut at `one` and `two`; between them a layer that is no stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, padding=1)
        self.one = nn.Sequential(nn.BatchNorm2d(width), nn.Tanh())
        self.between = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.two = nn.Sequential(nn.BatchNorm2d(2 * width), nn.Tanh())
        self.head = nn.Linear(2 * width, 3)
        self.double()

    def block(self, number: int, x: Tensor) -> Tensor:
        if number == 1:
            return self.one(self.stem(x))
        return self.two(self.between(x)) if number == 2 else self.head(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(3, self.block(2, self.block(1, x)))


def apply(student: nn.Module, teachers: list[nn.Module], **values):
    method = load_recipe("multi_teacher_fewshot")(
        student,
        teachers[0],
        teachers=teachers,
        teacher_accuracies=ACCURACIES,
        layers={"student": STAGES, "teacher": STAGES},
        example=plain.EXAMPLE,
        **values,
    )
    return method, method.inferer.networks["graft"].double()


@pytest.mark.parametrize("position", range(5))
def test_a_step_is_the_method_restated(position: int) -> None:
    student, teachers = Net(3), [Net(5).eval(), Net(4).eval()]
    method, graft = apply(student, teachers)
    graft.position = position
    other = copy.deepcopy(student)
    batch = {"image": torch.randn(5, 2, 6, 6, dtype=torch.float64)}
    loss = plain.loss_of(method, student, batch)

    x = batch["image"]
    for word in WRITTEN[position].split():
        number = int(word[1])
        if word[0] in "io":
            x = (graft.to_student if word[0] == "i" else graft.to_host)[number - 1].conv(x)
        else:
            x = (other if word[0] == "s" else teachers[0]).block(number, x)
    powers = [torch.tensor(a / 0.1, dtype=torch.float64).exp() for a in ACCURACIES]
    answers = [torch.softmax(t(batch["image"]) / 4, 1) for t in teachers]
    soft = sum(p * a for p, a in zip(powers, answers, strict=True)) / sum(powers)
    total = plain.kl(x, 4 * soft.log(), 4.0)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)

    adapters = [*graft.to_student.parameters(), *graft.to_host.parameters()]
    ours, theirs = (
        torch.autograd.grad(value, [*net.parameters(), *adapters], allow_unused=True, retain_graph=True)
        for value, net in ((loss, student), (total, other))
    )
    assert [g is None for g in ours] == [g is None for g in theirs]
    assert plain.same([g for g in ours if g is not None], [g for g in theirs if g is not None])
    assert all(a.equal(b) for a, b in zip(student.buffers(), other.buffers(), strict=True))  # no other block ran
    loss.backward()
    assert all(p.grad is None for t in teachers for p in t.parameters())


def test_training_ends_with_the_whole_student() -> None:
    student = Net(3)
    keys = set(student.state_dict())
    method, graft = apply(student, [Net(5), Net(4)], max_epochs=10)
    positions = []
    data = [{"image": torch.randn(4, 2, 6, 6, dtype=torch.float64)}]
    trainer = plain.trainer(method, student, data, epochs=10)
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: positions.append(graft.position))
    trainer.run()
    assert positions == [0, 0, 1, 2, 3] + 5 * [4]
    assert set(student.state_dict()) == keys
