# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from monai_kd.losses import GradientAgreement, Objective
from monai_kd.utils import ConfigError, UnknownNameError


def losses(f: Tensor, *directions: list[float]) -> dict[str, Tensor]:
    """Linear losses, whose gradients are these; the first is the label's."""
    names = ["label", *(f"kd_{i}" for i in range(1, len(directions)))]
    return {n: (f * torch.tensor(d)).sum() for n, d in zip(names, directions, strict=True)}


def feature() -> Tensor:
    return torch.zeros(2, requires_grad=True)


def test_a_term_counts_as_often_as_others_agree():
    f = feature()
    given = losses(f, [1.0, 0.0], [9.0, 1.0], [0.2, 1.0], [-1.0, 0.5])
    # cosines of kd_1, kd_2, kd_3 with all four, above 0.1: label, itself, kd_2; label, itself, kd_1, kd_3; itself, kd_2
    told = GradientAgreement("f")(given, {"f": f})
    assert {k: v.item() for k, v in told.items()} == {"kd_1": 3, "kd_2": 4, "kd_3": 2}
    assert not any(v.requires_grad for v in told.values())


def test_weights_move_slowly_and_are_in_the_state():
    f, weighting = feature(), GradientAgreement("f", momentum=0.75)
    weighting(losses(f, [1.0, 0.0], [1.0, 0.0]), {"f": f})
    other = GradientAgreement("f", momentum=0.75)
    other.load_state_dict(copy.deepcopy(weighting.state_dict()))
    for one in (weighting, other):
        told = one(losses(f, [1.0, 0.0], [-1.0, 0.0]), {"f": f})
        assert told["kd_1"].item() == 0.75 * 2 + 0.25 * 1


def test_a_term_without_a_slope_agrees_with_itself_alone():
    f = feature()
    given = {**losses(f, [1.0, 0.0]), "kd": torch.zeros((), requires_grad=True) * 1, "none": torch.tensor(1.0)}
    assert {k: v.item() for k, v in GradientAgreement("f")(given, {"f": f}).items()} == {"kd": 1, "none": 1}


def test_an_objective_takes_the_factors_and_can_go_backward():
    net = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    z = net(x)
    terms = {
        "label": {"loss": torch.nn.CrossEntropyLoss(), "inputs": ["z", "label"]},
        "again": {"loss": torch.nn.CrossEntropyLoss(), "inputs": ["z", "label"], "weight": 0.5},
    }
    objective = Objective(terms, weighting=GradientAgreement("z"))
    total = objective({"z": z}, {"label": torch.tensor([0, 1, 1, 0])})
    assert total.item() == pytest.approx(objective.values["label"].item() * (1 + 2 * 0.5))
    total.backward()
    assert net.weight.grad is not None and "weighting._extra_state" in objective.state_dict()


def test_nothing_is_weighed_where_nothing_learns():
    with torch.no_grad():
        assert GradientAgreement("f")({"kd": torch.tensor(1.0)}, {"f": torch.zeros(2)}) == {}


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="momentum must be in"):
        GradientAgreement("f", momentum=1.0)
    with pytest.raises(UnknownNameError, match=r"student.hint"):
        GradientAgreement("student.hnt")({"kd": torch.tensor(1.0)}, {"student.hint": torch.zeros(2)})
    with pytest.raises(ConfigError, match="'f' has no gradient"):
        GradientAgreement("f")({"kd": torch.tensor(1.0)}, {"f": torch.zeros(2)})
