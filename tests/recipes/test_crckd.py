# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""CRCKD term by term, its schedule, and the gradients of a step, against the method restated."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from monai_kd.handlers import EMA, Weights
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain

LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 1, 0]  # of the training samples
INDEX = torch.tensor([3, 7, 0, 10])  # of a batch of them
WEIGHT = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
P, K, TAU = 2, 5, 0.07


def apply(student: nn.Module, epochs: int = 80) -> Distillation:
    bank = {"passes::bank::network::positives": P, "passes::bank::network::negatives": K}
    method = load_recipe("crckd")(
        student,
        layers={"student": "map"},
        example=plain.EXAMPLE,
        sample_labels=LABELS,
        max_epochs=epochs,
        label_loss=nn.CrossEntropyLoss(WEIGHT),
        **bank,
        **{"terms::contrast::loss::positives": P},
    )
    for network in method.inferer.networks.values():
        network.double()
    return method


def batch() -> dict[str, Tensor]:
    views = {key: torch.randn(4, 2, 6, 6, dtype=torch.float64) for key in ("image", "image_2")}
    return {**views, "index": INDEX, "label": torch.tensor(LABELS)[INDEX]}


def centers(bank: Tensor) -> Tensor:
    means = [torch.stack([bank[i].relu() for i in range(len(LABELS)) if LABELS[i] == c]).mean(0) for c in range(3)]
    return torch.stack([m / m.norm() for m in means])


def test_a_step_is_the_method_restated():
    student = plain.Net(3)
    method, data = apply(student), batch()
    own, other, bank = (method.inferer.networks[name] for name in ("embedding", "teacher_embedding", "bank"))
    teacher = method.inferer.networks["teacher"].network
    with torch.no_grad():
        teacher.head.weight.add_(0.3)  # the average is not the student
    ramp = math.exp(-5 * (1 - 20 / 30) ** 2)
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(20)
    torch.manual_seed(3)
    loss = plain.loss_of(method, student, data)
    torch.manual_seed(3)
    chosen = bank.choose(INDEX)

    x, y = data["image"], data["image_2"]
    embed = [
        lambda f, w=net.layers.output: nn.functional.normalize(f @ w.weight.T + w.bias, dim=1) for net in (own, other)
    ]
    f_s = student.map(student.norm(student.conv(x))).mean((2, 3))
    f_t = teacher.eval().map(teacher.norm(teacher.conv(y))).mean((2, 3)).detach()
    g_s, g_t = embed[0](f_s), embed[1](f_t)
    mu_s, mu_t = centers(bank.input_bank), centers(bank.target_bank)
    terms = {
        "label": plain.weighted_cross_entropy(student.head(f_s), data["label"], WEIGHT),
        "kd": plain.kl(student.head(f_s), teacher.head(f_t)),
        "contrast": plain.contrast(g_s, bank.target_bank, chosen, P) + plain.contrast(g_t, bank.input_bank, chosen, P),
        "relation": plain.kl(g_s @ mu_s.T / TAU, g_t @ mu_t.T / TAU),
    }
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in terms.items()}, rel=1e-8
    )
    total = terms["label"] + ramp * terms["kd"] + 0.1 * terms["contrast"] + terms["relation"]
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    learning = (student, own, other)
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_positives_are_of_the_class_and_negatives_are_not():
    bank = apply(plain.Net(3)).inferer.networks["bank"]
    chosen, labels = bank.choose(INDEX), torch.tensor(LABELS)
    assert chosen[:, 0].equal(INDEX) and (labels[chosen[:, :P]] == labels[INDEX, None]).all()
    assert (labels[chosen[:, P:]] != labels[INDEX, None]).all()


@pytest.mark.parametrize(
    ("epoch", "kd", "relation"),
    [(0, 0, 0), (19, 0, 0), (20, math.exp(-5 / 9), 1), (30, 1, 1), (79, 1, 1)],
)
def test_schedule_is_the_authors_with_one_coefficient_for_the_contrast(epoch, kd, relation):
    method = apply(plain.Net(3))
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(epoch)
    weights = {name: term.weight for name, term in method.objective.terms.items()}
    assert weights == pytest.approx({"label": 1, "kd": kd, "contrast": 0.1, "relation": relation})


def test_the_teacher_is_the_average_and_the_bank_is_of_unit_rows():
    student = plain.Net(3)
    method = apply(student, epochs=4)
    trainer = plain.trainer(method, student, [batch()], epochs=4, lr=0.1)
    states: list[dict[str, Tensor]] = []
    trainer.add_event_handler("ITERATION_COMPLETED", lambda: states.append({k: v.clone() for k, v in named(student)}))
    trainer.run()
    (ema,) = [h for h in method.handlers if isinstance(h, EMA)]
    assert ema.momentum == 0.99 and ema.steps == 4
    average = dict(states[0])
    for n, state in enumerate(states[1:], start=1):
        a = min(1 - 1 / (n + 1), 0.99)
        average = {k: a * average[k] + (1 - a) * v for k, v in state.items()}
    assert all(v.allclose(average[k]) for k, v in named(ema.teacher.network))
    bank = method.inferer.networks["bank"].state_dict()["input_bank"]
    assert bank[INDEX].norm(dim=1).allclose(torch.ones(4, dtype=torch.float64))
    assert (bank.norm(dim=1) - 1).abs().max() > 1e-3  # and those never seen are not


def named(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [(k, p.detach()) for k, p in network.named_parameters()]
