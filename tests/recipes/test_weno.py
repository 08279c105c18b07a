# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""WENO as a recipe against WENO written down: every term, and the gradients of one step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from monai_kd import load_recipe
from monai_kd.recipes import Distillation
from monai_kd.utils import UnknownNameError
from tests.recipes import plain

SAMPLES = 9
SIZES, BAG_LABEL = [4, 3, 2], [1, 0, 1]
BAG = torch.tensor([b for b, n in enumerate(SIZES) for _ in range(n)])


class Student(nn.Module):
    """An encoder and the instances' head, with nothing random in it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Tanh())
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


@pytest.fixture
def student() -> Student:
    return Student().double()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    image = torch.randn(SAMPLES, 1, 2, 2, dtype=torch.float64)
    bags = {"bag": BAG, "bag_label": torch.tensor(BAG_LABEL)}
    return {"image": image, **bags, "index": torch.randperm(SAMPLES)}


def apply(student: Student, threshold: float) -> Distillation:
    """The recipe without dropout, so that both sides compute one thing."""
    method = load_recipe("weno")(
        student,
        layers={"student": "encoder"},
        example=torch.zeros(1, 1, 2, 2, dtype=torch.float64),
        num_samples=SAMPLES,
        class_weights="$torch.tensor([0.1, 0.9], dtype=torch.float64)",
        **{"bag_teacher::dropout": 0.0, "bag_teacher::embedding": [8, 8], "bag_teacher::hidden": 5},
    )
    for part in (*method.inferer.networks.values(), method.objective):
        part.double()
    method.inferer.networks["hard"].threshold = threshold
    return method


def by_hand(student: Student, teacher: nn.Module, batch: dict[str, Tensor], threshold: float) -> tuple[Tensor, Tensor]:
    """Both losses, instance by instance, from the paper: its epsilon left out, its extremes those of this batch."""
    features = [student.encoder(x[None])[0] for x in batch["image"]]
    q = [student.head(f).softmax(0) for f in features]
    h = [teacher.embedding(f) for f in features]
    s = [teacher.attention(x)[0] for x in h]
    low, high = min(x.item() for x in s), max(x.item() for x in s)

    bag_loss, instance_loss = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for b, label in enumerate(BAG_LABEL):
        members = (BAG == b).nonzero().flatten().tolist()
        kept = [i for i in members if label == 0 or q[i][1].item() <= threshold]
        kept = kept or [min(members, key=lambda i: q[i][1].item())]
        a = torch.stack([s[i] for i in kept]).softmax(0)
        p = teacher.myfc(sum(w * h[i] for w, i in zip(a, kept, strict=True))).softmax(0)[1]
        bag_loss = bag_loss - (label * p.log() + (1 - label) * (1 - p).log()) / len(BAG_LABEL)
        for i in members:
            y = min(max((s[i].item() - low) / (high - low), 1e-5), 1 - 1e-5) if label else 0.0
            instance_loss = instance_loss - (0.1 * (1 - y) * q[i][0].log() + 0.9 * y * q[i][1].log()) / SAMPLES
    return bag_loss, instance_loss


@pytest.mark.parametrize("threshold", [1.0, 0.5, 0.0])
def test_terms_and_gradients_are_those_of_the_paper(student, batch, threshold):
    method = apply(student, threshold)
    teacher = method.inferer.networks["teacher"]
    total = plain.loss_of(method, student, batch)
    found = torch.autograd.grad(total, method.parameters)
    losses = by_hand(student, teacher, batch, threshold)
    expected = torch.autograd.grad(sum(losses), method.parameters)
    for name, loss in zip(("bag", "instance"), losses, strict=True):
        assert method.objective.values[name].item() == pytest.approx(loss.item(), rel=1e-12)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_everything_learns_and_both_losses_share_the_encoder(student, batch):
    method = apply(student, 1.0)
    plain.loss_of(method, student, batch)
    teacher = method.inferer.networks["teacher"]
    assert {id(p) for p in method.parameters} == {id(p) for n in (student, teacher) for p in n.parameters()}
    weight = student.encoder[1].weight
    for loss in by_hand(student, teacher, batch, 1.0):
        (grad,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert grad.abs().sum() > 0


def test_mining_starts_after_the_warm_up(student):
    method = apply(student, 1.0)
    (schedule,) = [h for h in method.handlers if getattr(h, "attribute", "") == "threshold"]
    thresholds = []
    for epoch in (0, 9, 10, 50):
        schedule.set(epoch)
        thresholds.append(method.inferer.networks["hard"].threshold)
    assert thresholds == [1.0, 1.0, 0.5, 0.5]


def test_learns_which_instances_make_a_bag_positive():
    """An instance is positive if its first pixel is: known of bags alone, the student finds it out."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(120, 1, 2, 2, generator=generator)
    positive = torch.rand(120, generator=generator) < 0.3
    image[:, 0, 0, 0] = torch.where(positive, 1.0, -1.0)
    positive[:60], image[:60, 0, 0, 0] = False, -1.0
    bag = torch.arange(120) // 6
    bag_label = torch.zeros(20, dtype=torch.long).scatter_reduce(0, bag, positive.long(), "amax")
    batch = {"image": image, "bag": bag, "bag_label": bag_label, "index": torch.arange(120)}
    student = Student()
    method = load_recipe("weno")(
        student, layers={"student": "encoder"}, example=image[:1], num_samples=120, **{"bag_teacher::embedding": [16]}
    )
    optimizer = torch.optim.Adam(method.parameters, lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        plain.loss_of(method, student, batch).backward()
        optimizer.step()
    margin = (student(image)[:, 1] - student(image)[:, 0]).detach()
    wins = (margin[positive].unsqueeze(1) > margin[~positive]).double().mean()
    assert bag_label.float().mean() == 0.5 and math.isfinite(margin.sum()) and wins > 0.95


def test_a_batch_without_bags_is_named(student, batch):
    method = apply(student, 1.0)
    with pytest.raises(UnknownNameError, match="no 'bag'"):
        method.inferer({"image": batch["image"], "index": batch["index"]}, student, method.objective.needs())
