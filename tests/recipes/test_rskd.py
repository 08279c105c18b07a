# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""RSKD, both stages, by the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import ClassSubset, SubsetLabels
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain

SUBSETS = {"many": [0, 1], "medium": [2, 1], "few": [0, 2, 3]}
WEIGHTS = {"many": 0.5, "medium": 1.0, "few": 1.5}
LABEL, LABELED = torch.tensor([0, 2, 1, 3, 0, 1]), [True, True, False, True, True, True]


def batch() -> dict[str, Tensor]:
    x = torch.randn(6, 2, 6, 6, dtype=torch.float64)
    return {"image": x, "label": LABEL, "labeled": torch.tensor(LABELED)}


def apply(student: plain.Net) -> Distillation:
    given = {"subsets": SUBSETS, "subset_weights": WEIGHTS, "labeled_key": "labeled"}
    return load_recipe("rskd")(student, example=plain.EXAMPLE, **given)


def own(name: str) -> list[int]:
    """Samples that a teacher is heard on."""
    return [i for i in range(6) if LABELED[i] and int(LABEL[i]) in SUBSETS[name]]


def test_a_step_of_the_student_is_the_method_restated():
    student = plain.Net(3, classes=4)
    method, data = apply(student), batch()
    loss = plain.loss_of(method, student, data)

    z = student(data["image"])
    total = plain.cross_entropy(z[LABELED], LABEL[LABELED])
    for name, classes in SUBSETS.items():
        teacher = method.inferer.networks[name].network.network.eval()
        answer, rows = teacher(data["image"])[:, classes], own(name)
        total = total + WEIGHTS[name] * plain.kl(z[rows][:, classes], answer[rows], 4.0)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, student), plain.gradients(total, student))
    assert {id(p) for p in method.parameters} == {id(p) for p in student.parameters()}


def test_a_step_of_the_teachers_is_the_method_restated():
    nets = {name: plain.Net(3, classes=4) for name in SUBSETS}
    teachers = {name: ClassSubset(net, SUBSETS[name]) for name, net in nets.items()}
    config = load_recipe("rskd").config
    stage = config["teaching"]
    passes = {
        "many": {"keys": "image"},
        **{name: {"keys": "image", "network": teachers[name]} for name in ("medium", "few")},
        "members": {"keys": ["label", "labeled"], "network": SubsetLabels(SUBSETS)},
    }
    assert passes.keys() == stage["passes"].keys()
    given = {"imports": ["$import torch"], "sigmoid": False, "cross_entropy": config["cross_entropy"]}
    objective = Objective(ConfigParser({**given, "terms": stage["terms"]}).get_parsed_content("terms"))
    data = batch()
    loss = objective(DistillationInferer(passes)(data, teachers["many"], objective.needs()), data)

    total = torch.zeros((), dtype=torch.float64)
    for name, classes in SUBSETS.items():
        z, rows = nets[name](data["image"])[:, classes], own(name)
        total = total + sum(-z[i].log_softmax(0)[classes.index(int(LABEL[i]))] for i in rows) / len(rows)
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    assert plain.same(plain.gradients(loss, *nets.values()), plain.gradients(total, *nets.values()))


def test_hidden_labels_teach_nothing():
    student = plain.Net(3, classes=4)
    method, data = apply(student), batch()
    other = {**data, "label": torch.tensor([0, 2, 3, 3, 0, 1])}
    losses = [plain.loss_of(method, student, b) for b in (data, other)]
    assert losses[0].item() == losses[1].item()
