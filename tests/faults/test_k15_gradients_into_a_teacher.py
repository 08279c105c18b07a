# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K15: no gradient reaches a teacher, and an optimiser that would move it by weight decay alone is refused."""

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError
from tests.nets import HINTED, MIMIC, Classifier, batches, both, make_trainer, same, state_of


def test_weight_decay_alone_moves_a_network():
    network = Classifier()
    before = state_of(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1).step()
    assert not same(network, before)


def test_none_of_its_parameters_has_a_gradient():
    student, teacher = Classifier(), Classifier()
    before, taught = state_of(student), state_of(teacher)
    make_trainer(student, both(Teacher(teacher)), {"kd": MIMIC, "hint": HINTED}, batches()).run()
    assert all(p.grad is None for p in teacher.parameters()) and same(teacher, taught)
    assert not same(student, before)
    assert all(p.requires_grad for p in teacher.parameters())  # what is handed over stays as it is


def test_an_optimiser_that_holds_it_is_refused():
    student, teacher = Classifier(), Classifier()
    optimizer = torch.optim.AdamW([*student.parameters(), *teacher.parameters()], weight_decay=0.1)
    with pytest.raises(ConfigError, match="teacher"):
        make_trainer(student, both(Teacher(teacher)), {"kd": MIMIC}, batches(), optimizer=optimizer).run()
