# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader
from torch import nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer, same, state_of


def mean_teacher(student: nn.Module, data, train_mode: bool = False, handlers=(), **kwargs) -> tuple:
    teacher = Teacher.copy_of(student, train_mode=train_mode)
    options = {name: kwargs.pop(name) for name in ("momentum", "warmup", "buffers") if name in kwargs}
    ema = EMA(teacher, student, **options)
    passes = {"teacher": {"keys": "image_2", "network": teacher}}
    terms = {"label": LABEL, "mimic": MIMIC}
    return make_trainer(student, passes, terms, data, train_handlers=[*handlers, ema], **kwargs), ema


def record(trainer: DistillationTrainer, network: nn.Module) -> list[dict]:
    """The state of `network` after every optimiser step, seen before the EMA sees it."""
    states: list[dict] = []
    trainer.optimizer.register_step_post_hook(lambda *_: states.append(state_of(network)))
    return states


def averaged(start: dict, states: list[dict], factors: list[float]) -> dict:
    """The plain loop: a_n times the old plus (1 - a_n) times the new."""
    value = {key: tensor.double() for key, tensor in start.items()}
    for state, a in zip(states, factors, strict=True):
        value = {key: a * value[key] + (1 - a) * state[key].double() for key in value}
    return value


def assert_close(network: nn.Module, expected: dict, names) -> None:
    for name in names:
        torch.testing.assert_close(network.state_dict()[name].double(), expected[name].double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.5, 0.75, 0.999])
def test_the_warm_up_is_the_average_of_all_steps_until_the_ceiling(momentum):
    ema = EMA(Teacher.copy_of(Classifier()), Classifier(), momentum=momentum)
    for n in range(3000):
        assert ema.factor(n) == pytest.approx(min(1 - 1 / (n + 1), momentum))
    assert ema.factor(0) == 0.0


def test_without_warm_up_the_momentum_is_the_momentum():
    assert EMA(Teacher.copy_of(Classifier()), Classifier(), momentum=0.9, warmup=False).factor(0) == 0.9


@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_teacher_is_the_plain_loops_average(warmup, spatial_dims):
    student = Classifier(spatial_dims)
    start = state_of(student)
    trainer, ema = mean_teacher(student, batches(4, spatial_dims=spatial_dims), epochs=2, momentum=0.7, warmup=warmup)
    states = record(trainer, student)
    trainer.run()
    expected = averaged(start, states, [ema.factor(n) for n in range(8)])
    assert ema.steps == len(states) == 8
    assert_close(ema.teacher.network, expected, [name for name, _ in student.named_parameters()])
    assert not same(student, ema.teacher.network.state_dict())


@pytest.mark.parametrize("steps", [2, 3])
def test_counts_optimiser_steps_under_accumulation(steps):
    student = Classifier(norm=False)
    start = state_of(student)
    trainer, ema = mean_teacher(student, batches(6), accumulation_steps=steps, momentum=0.6)
    states = record(trainer, student)
    trainer.run()
    assert ema.steps == len(states) == 6 // steps
    expected = averaged(start, states, [ema.factor(n) for n in range(6 // steps)])
    assert_close(ema.teacher.network, expected, start)


def test_the_momentum_may_change_while_training():
    student = Classifier(norm=False)
    start, momenta = state_of(student), [0.2, 0.9, 0.5]
    trainer, ema = mean_teacher(student, batches(1), epochs=3, warmup=False)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: setattr(ema, "momentum", momenta[e.state.epoch - 1]))
    states = record(trainer, student)
    trainer.run()
    assert_close(ema.teacher.network, averaged(start, states, momenta), start)


def test_a_step_that_a_scaler_skips_does_not_count():
    student = nn.Linear(2, 1)
    teacher = Teacher.copy_of(student)
    optimizer, scaler = torch.optim.SGD(student.parameters(), lr=0.1), torch.amp.GradScaler("cpu")

    def update(engine, scale):
        optimizer.zero_grad()
        scaler.scale(student(torch.ones(1, 2)).sum() * scale).backward()
        scaler.step(optimizer)
        scaler.update()

    engine = Engine(update)
    engine.optimizer = optimizer
    ema = EMA(teacher, student)
    ema.attach(engine)
    engine.run([1.0, float("inf"), 1.0])
    assert ema.steps == 2


BUFFERS = ("norm.running_mean", "norm.running_var")


def test_buffers_are_copied():
    trainer, ema = mean_teacher(Classifier(), batches(4), buffers="copy")
    trainer.run()
    assert_close(ema.teacher.network, trainer.student.state_dict(), [*BUFFERS, "norm.num_batches_tracked"])


def test_buffers_are_averaged_and_counts_copied():
    student = Classifier()
    start = state_of(student)
    trainer, ema = mean_teacher(student, batches(4), buffers="average", momentum=0.6)
    states = record(trainer, student)
    trainer.run()
    assert_close(ema.teacher.network, averaged(start, states, [ema.factor(n) for n in range(4)]), BUFFERS)
    assert ema.teacher.network.norm.num_batches_tracked == 4
    assert not torch.equal(ema.teacher.network.norm.running_mean, student.norm.running_mean)


def test_buffers_are_kept_and_a_teacher_in_train_mode_gathers_its_own():
    student, data = Classifier(), batches(4)
    start = state_of(student)
    trainer, ema = mean_teacher(student, data, buffers="keep")
    trainer.run()
    assert all(torch.equal(ema.teacher.network.state_dict()[name], start[name]) for name in BUFFERS)
    trainer, ema = mean_teacher(Classifier(), data, buffers="keep", train_mode=True)
    trainer.run()
    assert ema.teacher.network.norm.num_batches_tracked == 4
    assert not torch.equal(ema.teacher.network.norm.running_mean, trainer.student.norm.running_mean)


def test_an_unknown_buffers_policy_lists_the_choices():
    with pytest.raises(ValueError, match="average"):
        EMA(Teacher.copy_of(Classifier()), Classifier(), buffers="mean")


def test_the_teacher_starts_as_the_student_that_a_loader_loaded(tmp_path):
    pretrained, student = Classifier(norm=False), Classifier(norm=False)
    torch.save({"network": pretrained.state_dict()}, tmp_path / "student.pt")
    loader = CheckpointLoader(str(tmp_path / "student.pt"), load_dict={"network": student})
    for handlers in ([loader], []):
        trainer, ema = mean_teacher(student, batches(2), handlers=handlers, lr=0.0, warmup=False)
        if not handlers:
            loader.attach(trainer)  # after the EMA
        trainer.run()
        assert_close(ema.teacher.network, pretrained.state_dict(), pretrained.state_dict())


def test_the_teacher_is_there_for_the_first_forward():
    student, answers = Classifier(), []
    trainer, ema = mean_teacher(student, data := batches(1))
    trainer.add_event_handler(Events.STARTED, lambda _: nn.init.constant_(student.head.bias, 5.0))
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda _: answers.append(ema.teacher(data[0]["image"])))
    trainer.run()
    assert answers[0].mean() > 3


def test_a_teacher_that_was_resumed_is_not_copied_anew():
    student = Classifier()
    trainer, ema = mean_teacher(student, batches(2), lr=0.0, warmup=False, momentum=1.0)
    other = Classifier()
    ema.load_state_dict({"teacher": other.state_dict(), "steps": 0})
    trainer.run()
    assert_close(ema.teacher.network, other.state_dict(), [name for name, _ in other.named_parameters()])
    assert ema.steps == 2


def test_a_second_run_goes_on():
    runs, long = Classifier(), Classifier()
    long.load_state_dict(runs.state_dict())
    data, teachers = batches(3), []
    for student, epochs in ((runs, (1, 2, 3)), (long, (3,))):
        trainer, ema = mean_teacher(student, data, momentum=0.6)
        for epoch in epochs:
            trainer.state.max_epochs = epoch
            trainer.run()
        assert ema.steps == 9
        teachers.append(ema.teacher.network)
    assert same(teachers[0], teachers[1].state_dict())


def test_after_the_run_the_optimiser_is_left_alone():
    trainer, ema = mean_teacher(Classifier(), batches(2))
    trainer.run()
    trainer.optimizer.step()
    assert ema.steps == 2 and not trainer.optimizer._optimizer_step_post_hooks
    copy.deepcopy(trainer.optimizer)


def test_a_run_after_one_that_broke_does_not_count_twice():
    def break_down(engine):
        raise ArithmeticError

    student, data = Classifier(), batches(3)
    trainer, ema = mean_teacher(student, data)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), break_down)
    with pytest.raises(ArithmeticError):
        trainer.run()
    assert ema.steps == 2
    make_trainer(student, {}, {"label": LABEL}, data, optimizer=trainer.optimizer, train_handlers=[ema]).run()
    assert ema.steps == 5


def test_its_state_is_the_teachers_weights_and_the_steps():
    trainer, ema = mean_teacher(Classifier(), batches(3))
    trainer.run()
    student = Classifier()
    other = EMA(Teacher.copy_of(student), student)
    other.load_state_dict(copy.deepcopy(ema.state_dict()))
    assert other.steps == 3 and same(other.teacher.network, ema.teacher.network.state_dict())


def test_no_gradient_reaches_the_teacher_and_only_the_average_moves_it():
    trainer, ema = mean_teacher(Classifier(), batches(3), momentum=1.0, warmup=False, buffers="keep")
    before = state_of(ema.teacher.network)
    trainer.run()
    assert same(ema.teacher.network, before)
    assert all(p.grad is None for p in ema.teacher.network.parameters())


def test_looks_through_a_wrapped_student():
    student = Classifier()
    ema = EMA(Teacher.copy_of(student), torch.compile(student, backend="eager"), momentum=0.0)
    with torch.no_grad():
        student.head.weight.add_(1)
    ema.update()
    assert torch.equal(ema.teacher.network.head.weight, student.head.weight)


@pytest.mark.parametrize("teacher", [Teacher(Classifier()), Classifier(), Teacher.copy_of(Classifier(width=2))])
def test_a_teacher_that_is_no_copy_of_the_student_is_refused(teacher):
    with pytest.raises(ConfigError, match=r"EMA: .*copy"):
        EMA(teacher, Classifier())


def test_a_teacher_that_shares_the_students_weights_is_refused():
    teacher = Teacher.copy_of(Classifier())
    with pytest.raises(ConfigError, match="EMA"):
        EMA(teacher, teacher.network)
