# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""BRAIxProtoPNet++ term by term, the gradients of a step and the three stages, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.handlers import ScheduleParameter, Weights
from monai_kd.networks import PrototypeHead
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain

LABEL = torch.tensor([0, 2, 1, 0])
WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
PER_CLASS, D = 3, 4


def batch() -> dict[str, Tensor]:
    return {"image": torch.randn(4, 2, 6, 6, dtype=torch.float64), "label": LABEL, "index": torch.arange(4) + 20}


def apply(student: nn.Module, images: list, epochs: int = 10, **values) -> tuple[Distillation, PrototypeHead]:
    method = load_recipe("braix_protopnet")(
        student,
        layers={"student": "map"},
        example=plain.EXAMPLE,
        max_epochs=epochs,
        label_loss=nn.CrossEntropyLoss(WEIGHT),
        prototype_images=images,
        **{"prototype_head::per_class": PER_CLASS, "prototype_head::features": D, **values},
    )
    head = method.inferer.networks["prototypes"].double()
    assert isinstance(head, PrototypeHead)
    return method, head


def at(method: Distillation, epoch: int) -> None:
    for handler in method.handlers:
        if isinstance(handler, (Weights, ScheduleParameter)):
            handler.set(epoch)


def restated(student: nn.Module, head: PrototypeHead, x: Tensor) -> dict[str, Tensor]:
    """The terms, in plain loops."""
    map = student.map(student.norm(student.conv(x)))
    z, distances, logits = student.head(map.mean((2, 3))), [], []
    first, _, second, _ = head.add_on
    for image in map:
        places = [image[:, i, j] for i in range(image.shape[1]) for j in range(image.shape[2])]
        f = [
            second.weight[:, :, 0, 0] @ (first.weight[:, :, 0, 0] @ u + first.bias).relu() + second.bias for u in places
        ]
        d = [min(((torch.sigmoid(v) - p) ** 2).sum() for v in f) for p in head.prototypes]
        distances.append(d)
        logits.append(head.classifier.weight @ torch.stack([torch.exp(-x / D) for x in d]))
    own, other, lead = [], [], []
    for d, z_p, z_g, y in zip(distances, logits, z, LABEL.tolist(), strict=True):
        own.append(min(x for m, x in enumerate(d) if m // PER_CLASS == y))
        other.append(min(x for m, x in enumerate(d) if m // PER_CLASS != y))
        lead.append((torch.softmax(z_g.detach(), 0)[y] - torch.softmax(z_p, 0)[y] + 0.2).relu())
    return {
        "label": plain.weighted_cross_entropy(z, LABEL, WEIGHT),
        "prototype_label": plain.weighted_cross_entropy(torch.stack(logits), LABEL, WEIGHT),
        "cluster": sum(own) / 4,
        "separation": (10 - sum(other) / 4).relu(),
        "kd": sum(lead) / 4,
    }


def test_a_step_of_the_last_stage_is_the_method_restated():
    student, data = plain.Net(3, stride=2), batch()
    method, head = apply(student, [])
    at(method, 2)
    loss = plain.loss_of(method, student, data)
    terms = restated(student, head, data["image"])
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in terms.items()}, rel=1e-8
    )
    weights = {"label": 1, "prototype_label": 1, "cluster": 0.1, "separation": 0.1, "kd": 0.5}
    total = sum(weights[name] * value for name, value in terms.items())
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    assert plain.same(plain.gradients(loss, student, head), plain.gradients(total, student, head))


def test_stages_have_their_terms_and_their_learners():
    student, data = plain.Net(3, stride=2), batch()
    method, head = apply(student, [])
    apart = {"prototype_label": 1, "cluster": 0.1, "separation": 0.1}
    stages = {0: {"label": 1}, 1: apart, 2: {"label": 1, **apart, "kd": 0.5}}
    for epoch, weights in stages.items():
        at(method, epoch)
        assert {name: term.weight for name, term in method.objective.active().items()} == weights
        for parameter in method.parameters:
            parameter.grad = None
        plain.loss_of(method, student, data).backward()
        for network, learns in ((student, epoch != 1), (head, epoch != 0)):
            assert all((p.grad is not None) == learns for p in network.parameters())


def test_prototypes_become_patches_once_they_learn():
    student, data = plain.Net(3), batch()
    method, head = apply(student, [data])
    seen = []
    trainer = plain.trainer(method, student, [data])
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: seen.append(head.image.tolist()))
    trainer.run()
    assert seen[0] == [-1] * 9
    assert [sorted(set(seen[1][m : m + PER_CLASS])) for m in (0, 3, 6)] == [[20, 23], [22], [21]]
    student.eval()
    patches = head.add_on(student.map(student.norm(student.conv(data["image"])))).flatten(2).detach()
    for m, image in enumerate(seen[1]):
        apart = (patches[image - 20] - head.prototypes[m].detach().unsqueeze(1)).square().sum(0)
        assert apart.min() < 1e-12


def test_statistics_of_the_network_stay_while_the_head_learns_alone():
    student = plain.Net(3)
    method, _ = apply(student, [batch()])
    moved, before = [], student.norm.running_mean.clone()
    trainer = plain.trainer(method, student, [batch()], epochs=3)

    @trainer.on("EPOCH_COMPLETED")
    def compare():
        moved.append(not before.equal(student.norm.running_mean))
        before.copy_(student.norm.running_mean)

    trainer.run()
    assert moved == [True, False, True]


def test_hidden_labels_teach_nothing():
    student, data = plain.Net(3), {**batch(), "labeled": torch.tensor([True, True, False, False])}
    method, _ = apply(student, [], labeled_key="labeled")
    at(method, 2)
    other = {**data, "label": torch.tensor([0, 2, 0, 1])}
    losses = [plain.loss_of(method, student, b) for b in (data, other)]
    assert losses[0].item() == losses[1].item()
