# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K16: a frozen teacher that changes stops the run; in train mode it cannot change by itself."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import KDLoss, Objective
from monai_kd.networks import Teacher, TeacherEnsemble
from monai_kd.utils import TeacherChangedError, state_hash


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def build(teacher: nn.Module, student: nn.Module, handlers: list | None = None) -> DistillationTrainer:
    return DistillationTrainer(
        device="cpu",
        max_epochs=3,
        train_data_loader=[{"image": torch.randn(4, 3)} for _ in range(2)],
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
        loss_function=Objective({"kd": {"loss": KDLoss(), "inputs": ["student", "teacher"]}}),
        inferer=DistillationInferer({"student": {}, "teacher": {"network": teacher}}),
        train_handlers=handlers,
    )


@pytest.mark.parametrize("key", ["0.weight", "1.running_mean", "1.num_batches_tracked"])
@pytest.mark.parametrize("several", [False, True])
def test_one_element_of_a_teacher_that_changes_stops_the_run(key, several):
    changed = network()
    teacher = TeacherEnsemble([network(), changed]) if several else Teacher(changed)
    trainer = build(teacher, network())
    before = state_hash(changed)

    @trainer.on(Events.ITERATION_COMPLETED(once=3))
    def change(engine):
        with torch.no_grad():
            changed.state_dict()[key].view(-1)[0] += 1

    where = "pass 'teacher', teacher 1" if several else "pass 'teacher'"
    with pytest.raises(TeacherChangedError, match=rf"^{where}: the frozen teacher has changed.*{before[:12]}.*epoch 2"):
        trainer.run()


def test_a_teacher_left_in_train_mode_stays_as_it_is(caplog):
    teacher = network().train()
    before = state_hash(teacher)
    with caplog.at_level(logging.INFO):
        build(Teacher(teacher), network()).run()
    assert state_hash(teacher) == before and teacher.training
    assert f"pass 'teacher': SHA-256 {before}" in caplog.text


def test_a_teacher_that_is_meant_to_move_may():
    student = network()
    teacher = Teacher.copy_of(student)
    before = state_hash(teacher.network)
    build(teacher, student, [EMA(teacher, student, momentum=0.5)]).run()
    assert state_hash(teacher.network) != before


def test_hash_is_of_names_types_shapes_and_bits():
    torch.manual_seed(0)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    assert state_hash(first) == state_hash(second) != state_hash(nn.Sequential(first))
    assert state_hash(first) != state_hash(nn.Linear(3, 2).double())
    second.weight.data[0, 0] = torch.nextafter(second.weight.data[0, 0], torch.tensor(9.0))
    assert state_hash(first) != state_hash(second)
    zero, negative = nn.Linear(1, 1), nn.Linear(1, 1)
    zero.load_state_dict({"weight": torch.zeros(1, 1), "bias": torch.zeros(1)})
    negative.load_state_dict({"weight": torch.zeros(1, 1), "bias": -torch.zeros(1)})
    assert state_hash(zero) != state_hash(negative)  # equal, but not the same bits
    assert len(state_hash(nn.Linear(2, 2).to(torch.bfloat16))) == 64
