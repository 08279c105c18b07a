# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.handlers import CheckpointLoader
from torch import nn

from monai_kd.handlers import Snapshot
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError, DistillationError
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer, same, state_of


def run(epochs: int, every: int = 1, restart: bool = False, handlers=(), **kwargs):
    """Run, and note the states of student and teacher at the first iteration and at the end of each epoch."""
    student = Classifier()
    teacher = Teacher.copy_of(student)
    snapshot = Snapshot(teacher, student, every, restart)
    passes, terms = {"teacher": {"network": teacher}}, {"label": LABEL, "mimic": MIMIC}
    trainer = make_trainer(student, passes, terms, batches(2), epochs, train_handlers=[*handlers, snapshot], **kwargs)
    first: dict[int, tuple] = {}
    last: dict[int, tuple] = {}
    note = lambda into: lambda e: into.setdefault(e.state.epoch, (state_of(student), state_of(teacher.network)))  # noqa: E731
    trainer.add_event_handler(Events.ITERATION_STARTED, note(first))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, note(last))
    trainer.run()
    return student, snapshot, first, last


def equal(a: dict, b: dict) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_teacher_is_the_student_at_the_last_snapshot(every):
    _, snapshot, first, last = run(6, every)
    for epoch in range(1, 7):
        taken = (epoch - 1) // every * every
        expected = last[taken][0] if taken else first[1][0]
        assert equal(first[epoch][1], expected) and equal(last[epoch][1], expected)
    assert snapshot.generation == 5 // every


def test_without_restart_the_student_goes_on():
    _, _, first, last = run(3)
    assert equal(first[2][0], last[1][0]) and equal(first[3][0], last[2][0])


def test_each_generation_starts_anew_and_learns_from_the_finished_one_before():
    _, snapshot, first, last = run(6, every=2, restart=True)
    starts = [first[epoch][0] for epoch in (1, 3, 5)]
    assert not any(equal(a, b) for a, b in ((starts[0], starts[1]), (starts[1], starts[2]), (starts[1], last[2][0])))
    assert equal(first[3][1], last[2][0]) and equal(first[5][1], last[4][0])
    assert all(start["norm.running_mean"].abs().sum() == 0 for start in starts)
    assert snapshot.generation == 2


def test_no_snapshot_is_taken_at_the_very_end():
    student, snapshot, _, last = run(4, every=2, restart=True)
    assert same(student, last[4][0]) and snapshot.generation == 1
    assert same(snapshot.teacher.network, last[2][0])


def test_a_new_generation_forgets_the_optimisers_state():
    student = Classifier(norm=False)
    teacher = Teacher.copy_of(student)
    held = []

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_STARTED, lambda e: held.append(len(e.optimizer.state)))

    handlers = [Snapshot(teacher, student, every=2, restart=True), Look()]
    make_trainer(student, {}, {"label": LABEL}, batches(2), 4, momentum=0.9, train_handlers=handlers).run()
    parameters = len(list(student.parameters()))
    assert held == [0, parameters, 0, parameters]


def test_the_first_teacher_is_the_student_that_a_loader_loaded(tmp_path):
    pretrained = Classifier()
    torch.save({"network": pretrained.state_dict()}, tmp_path / "student.pt")
    student = Classifier()
    teacher = Teacher.copy_of(student)
    loader = CheckpointLoader(str(tmp_path / "student.pt"), load_dict={"network": student})
    handlers = [Snapshot(teacher, student, every=5), loader]
    make_trainer(student, {}, {"label": LABEL}, batches(1), train_handlers=handlers).run()
    assert same(teacher.network, pretrained.state_dict())


def test_its_state_is_the_teachers_weights_and_the_generation():
    _, snapshot, _, _ = run(5, every=2)
    student = Classifier()
    other = Snapshot(Teacher.copy_of(student), student, every=2)
    other.load_state_dict(snapshot.state_dict())
    assert other.generation == 2 and other.resumed
    assert same(other.teacher.network, snapshot.teacher.network.state_dict())


def test_a_teacher_that_was_resumed_is_not_copied_anew():
    student, other = Classifier(), Classifier()
    snapshot = Snapshot(Teacher.copy_of(student), student, every=5)
    snapshot.load_state_dict({"teacher": other.state_dict(), "generation": 0})
    make_trainer(student, {}, {"label": LABEL}, batches(1), train_handlers=[snapshot]).run()
    assert same(snapshot.teacher.network, other.state_dict())


@pytest.mark.parametrize("every", [0, -1])
def test_less_than_an_epoch_is_an_error(every):
    student = Classifier()
    with pytest.raises(ConfigError, match=f"at least 1 epoch, got {every}"):
        Snapshot(Teacher.copy_of(student), student, every)


def test_a_teacher_that_is_no_copy_of_the_student_is_refused():
    with pytest.raises(ConfigError, match="Snapshot"):
        Snapshot(Teacher(Classifier()), Classifier())


def test_a_student_that_cannot_be_drawn_anew_is_refused_before_the_first_generation():
    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1))

    student = nn.Sequential(nn.Linear(2, 2), Token())
    Snapshot(Teacher.copy_of(student), student)
    with pytest.raises(DistillationError, match=r"layer '1' \(Token\)"):
        Snapshot(Teacher.copy_of(student), student, restart=True)
