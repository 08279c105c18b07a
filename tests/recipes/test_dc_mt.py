# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""DC-MT: the gradients of a step, and its schedule, against the method restated."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from monai_kd.handlers import Weights
from monai_kd.recipes import load_recipe
from tests.recipes import plain


def cut(features: Tensor, weight: Tensor) -> Tensor:
    """The class activation map by the weights of the last layer, which are constants, cut: of each sample, [places]."""
    places = (features * weight.detach()[:, None, None]).sum(0).relu().flatten()
    return torch.sigmoid(100 * ((places - places.min()) / (places.max() - places.min()) - 0.4))


@pytest.mark.parametrize("released", [False, True])
def test_a_step_is_the_method_restated(released):
    student = plain.Net(3)
    given = {"max_epochs": 50, "labeled_key": "labeled", "as_released": released}
    method = load_recipe("dc_mt")(student, layers={"student": "map"}, **given)
    teacher = method.inferer.networks["teacher"].teacher.network
    with torch.no_grad():
        teacher.head.weight.mul_(1.3)  # the average is not the student
        teacher.conv.weight.mul_(1.2)
    views = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    label, labeled = torch.tensor([0, 2, 1, 0]), torch.tensor([True, False, True, False])
    batch = {**views, "label": label, "labeled": labeled}
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(24)
    loss = plain.loss_of(method, student, batch)

    map_s = student.map(student.norm(student.conv(batch["image"])))
    map_t = teacher.train(released).map(teacher.norm(teacher.conv(batch["image_2"]))).detach()
    z_s, z_t = (net.head(m.mean((2, 3))) for net, m in ((student, map_s), (teacher, map_t)))
    answer = label if released else z_t.argmax(1)
    assert not z_t.argmax(1).equal(label)
    a_s = torch.stack([cut(m, student.head.weight[y]) for m, y in zip(map_s, answer, strict=True)])
    a_t = torch.stack([cut(m, teacher.head.weight[y]) for m, y in zip(map_t, answer, strict=True)]).detach()
    attention = ((a_s - a_t) ** 2).sum() / (a_s.sum() + a_t.sum())
    consistency = (z_s.softmax(1) - z_t.softmax(1).detach()).square().mean()
    hard = plain.cross_entropy(z_s[labeled], label[labeled])
    ramp, late = math.exp(-5 * (1 - 24 / 40) ** 2), math.exp(-5 * (1 - 4 / (40 if released else 20)) ** 2)
    total = hard + 5 * ramp * consistency + late * attention
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_the_maps_teach_the_layers_before_them_and_not_the_head():
    student = plain.Net(3)
    method = load_recipe("dc_mt")(student, layers={"student": "map"}, max_epochs=50)
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(49)
    views = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    batch = {**views, "label": torch.tensor([0, 2, 1, 0])}
    known = method.inferer(batch, student, method.objective.needs())
    method.objective.term("attention")({**batch, **known}).backward()
    assert student.head.weight.grad is None and student.conv.weight.grad.any()


def test_hidden_labels_do_not_choose_the_map():
    student = plain.Net(3)
    method = load_recipe("dc_mt")(student, layers={"student": "map"}, max_epochs=50, labeled_key="labeled")
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(49)
    views = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    labeled = torch.tensor([True, False, True, False])
    losses = []
    for label in ([0, 2, 1, 0], [0, 1, 1, 2]):
        batch = {**views, "label": torch.tensor(label), "labeled": labeled}
        losses.append(plain.loss_of(method, student, batch).item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("released", [False, True])
def test_as_released_the_average_counts_epochs(released):
    student = plain.Net(3)
    method = load_recipe("dc_mt")(student, layers={"student": "map"}, max_epochs=3, as_released=released)
    views = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    trainer = plain.trainer(method, student, [{**views, "label": torch.tensor([0, 2, 1, 0])}] * 2, epochs=3, lr=0.1)
    average = method.inferer.networks["teacher"].teacher.network
    weights: list[list[float]] = [[], []]

    @trainer.on("ITERATION_COMPLETED")
    def note() -> None:
        for network, noted in zip((student, average), weights, strict=True):
            noted.append(network.head.bias[0].item())

    trainer.run()
    expected, value = [], 0.0
    for step, weight in enumerate(weights[0]):
        n = step // 2 if released else step
        value = (1 - 1 / (n + 1)) * value + weight / (n + 1)
        expected.append(value)
    assert weights[1] == pytest.approx(expected, rel=1e-12) and len(set(weights[0])) == 6


def test_as_released_the_maps_never_count_in_full():
    weights = {}
    for released in (False, True):
        given = {"max_epochs": 50, "as_released": released}
        method = load_recipe("dc_mt")(plain.Net(3), layers={"student": "map"}, **given)
        (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
        schedule.set(49)
        weights[released] = method.objective.term("attention").weight
    assert weights == {False: 1.0, True: pytest.approx(math.exp(-5 * 0.25))}
