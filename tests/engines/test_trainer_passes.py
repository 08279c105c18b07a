# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What learns, what does not, and what runs, in training."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from ignite.engine import Events
from torch import nn

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import Weights
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher, TeacherEnsemble
from monai_kd.utils import ConfigError, step
from tests.nets import (
    HINT,
    HINTED,
    LABEL,
    MIMIC,
    Classifier,
    Counter,
    batches,
    both,
    make_trainer,
    same,
    state_of,
)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_frozen_teacher_is_bit_identical_after_training_and_the_student_moved(mode, spatial_dims):
    student, teacher = Classifier(spatial_dims), Classifier(spatial_dims, dropout=0.5).train(mode)
    before, start = state_of(teacher), state_of(student)
    trainer = make_trainer(
        student,
        both(Teacher(teacher)),
        {"label": LABEL, "mimic": MIMIC, "hint": HINTED},
        batches(spatial_dims=spatial_dims),
        2,
    )
    trainer.run()
    assert same(teacher, before) and not same(student, start)
    assert teacher.training is mode and all(p.requires_grad and p.grad is None for p in teacher.parameters())


def test_a_frozen_teacher_is_in_eval_mode_in_every_forward():
    teacher, modes = Classifier(), []
    teacher.norm.register_forward_hook(lambda layer, *_: modes.append(layer.training))
    make_trainer(Classifier(), {"teacher": {"network": Teacher(teacher)}}, {"mimic": MIMIC}, batches(), 2).run()
    assert modes == [False] * 6


def test_a_teacher_is_in_no_list_of_what_learns():
    student, teacher = Classifier(), Classifier()
    inferer = DistillationInferer(both(Teacher(teacher)))
    held = {id(p) for p in monai_kd.trainable(student, inferer)}
    assert held == {id(p) for p in student.parameters()}


def test_trainable_holds_every_learning_parameter_once():
    student, peer = Classifier(), Classifier()
    peer.head.requires_grad_(False)
    parts = {"student": {}, "peer": {"network": peer}, "again": {"keys": "image_2", "network": peer}}
    found = monai_kd.trainable(student, DistillationInferer({**parts, "own": {"network": student}}))
    expected = [*student.parameters(), *(p for p in peer.parameters() if p.requires_grad)]
    assert [id(p) for p in found] == [id(p) for p in expected]


@pytest.mark.parametrize(
    "wrap",
    [Teacher, lambda net: TeacherEnsemble([Classifier(), net]), lambda net: Teacher(TeacherEnsemble([net]))],
    ids=["teacher", "ensemble", "teacher of an ensemble"],
)
def test_an_optimiser_that_holds_a_teachers_parameters_is_refused(wrap):
    student, teacher = Classifier(), Classifier()
    optimizer = torch.optim.SGD([*student.parameters(), teacher.head.weight], lr=0.1)
    with pytest.raises(ConfigError, match=r"pass 'teacher': the optimiser holds .*'.*head.weight'.*trainable"):
        make_trainer(student, {"teacher": {"network": wrap(teacher)}}, {"mimic": MIMIC}, batches(), optimizer=optimizer)


def test_an_optimiser_that_takes_up_a_teacher_before_the_run_is_refused():
    teacher = Classifier()
    trainer = make_trainer(Classifier(), {"teacher": {"network": Teacher(teacher)}}, {"mimic": MIMIC}, batches())
    trainer.optimizer.add_param_group({"params": list(teacher.parameters())})
    with pytest.raises(ConfigError, match="pass 'teacher'"):
        trainer.run()


def test_a_network_that_learns_but_is_not_in_the_optimiser_is_warned_of_when_the_run_starts():
    student = Classifier()
    passes = {"connector": {"keys": "student", "network": nn.Linear(3, 3)}}
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    trainer = make_trainer(student, passes, {"label": LABEL}, batches(), optimizer=optimizer)
    with pytest.warns(UserWarning, match=r"pass 'connector': 2 parameters.*'weight'.*trainable"):
        trainer.run()


def test_nothing_is_warned_of_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_trainer(Classifier(), both(Teacher(Classifier())), {"mimic": MIMIC}, batches()).run()


def test_a_pass_that_no_term_needs_does_not_run():
    idle = nn.Sequential(Counter(), nn.Flatten())
    make_trainer(Classifier(), {"teacher": {"network": Teacher(idle)}}, {"label": LABEL}, batches()).run()
    assert idle[0].calls == 0


def test_a_term_of_weight_zero_switches_its_passes_off_for_those_epochs():
    teacher, objective_terms = Classifier(), {"label": LABEL, "mimic": MIMIC}
    trainer = make_trainer(
        Classifier(), {"teacher": {"network": Teacher(teacher)}}, objective_terms, batches(3), epochs=4
    )
    Weights(trainer.loss_function, {"mimic": step(2)}).attach(trainer)
    calls = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: calls.append(teacher.late.calls))
    trainer.run()
    assert calls == [0, 0, 3, 6]


def test_a_teacher_read_only_by_its_tap_stops_early_in_training_and_the_student_does_not():
    student, teacher = Classifier(), Classifier()
    make_trainer(student, both(Teacher(teacher)), {"label": LABEL, "hint": HINTED}, batches(5)).run()
    assert teacher.late.calls == 1 and student.late.calls == 5


def test_two_views_of_one_student_both_teach_it():
    student, alone = Classifier(norm=False), None
    alone = copy.deepcopy(student)
    (batch,) = data = batches(1)
    agree = {"loss": nn.MSELoss(), "inputs": ["student", "again"]}
    make_trainer(student, {"again": {"keys": "image_2"}}, {"label": LABEL, "agree": agree}, data).run()
    a, b = alone(batch["image"]), alone(batch["image_2"])
    (nn.functional.cross_entropy(a, batch["label"]) + (a - b).square().mean()).backward()
    for ours, theirs in zip(student.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)


def test_a_deep_exit_teaches_a_shallow_one_without_a_teacher():
    student = Classifier()
    passes = {
        "student": {"taps": HINT},
        "exit": {
            "keys": "student.hint",
            "network": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        },
    }
    trainer = make_trainer(
        student, passes, {"label": LABEL, "exit": {"loss": nn.MSELoss(), "inputs": ["exit", "student"]}}, batches()
    )
    before = state_of(passes["exit"]["network"])
    trainer.run()
    assert not same(passes["exit"]["network"], before)


def test_peers_learn_from_each_other():
    student, peer = Classifier(), Classifier(width=2)
    before = state_of(peer)
    terms = {
        "label": LABEL,
        "peer_label": {**LABEL, "inputs": ["peer", "label"]},
        "mimic": {"loss": lambda a, b: nn.functional.mse_loss(a, b.detach()), "inputs": ["student", "peer"]},
        "mirror": {"loss": lambda a, b: nn.functional.mse_loss(a, b.detach()), "inputs": ["peer", "student"]},
    }
    make_trainer(student, {"peer": {"network": peer}}, terms, batches()).run()
    assert not same(peer, before)


def test_learning_networks_are_in_train_mode_and_on_the_device():
    connector = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    passes = {**both(Teacher(Classifier())), "connector": {"keys": "student.hint", "network": connector}}
    terms = {"hint": {**HINTED, "inputs": ["connector", "teacher.hint"]}}
    trainer = make_trainer(Classifier(), passes, terms, batches(), epochs=2)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: connector.eval())  # as a validation may leave it
    trainer.run()
    assert connector[0].num_batches_tracked == 6


def test_the_networks_of_the_passes_and_the_losses_are_moved_to_the_device():
    student, teacher, connector = Classifier().to("meta"), Classifier(), nn.Linear(3, 3)
    passes = {"teacher": {"network": Teacher(teacher)}, "connector": {"keys": "student", "network": connector}}
    inferer = DistillationInferer({"student": {}, **passes})
    objective = Objective({"label": {**LABEL, "loss": nn.CrossEntropyLoss(weight=torch.ones(3))}})
    DistillationTrainer(
        device=torch.device("meta"),
        max_epochs=1,
        train_data_loader=batches(),
        network=student,
        optimizer=torch.optim.SGD(monai_kd.trainable(student, inferer), lr=0.1),
        loss_function=objective,
        inferer=inferer,
    )
    tensors = [*teacher.parameters(), *connector.parameters(), objective.term("label").loss.weight]
    assert {t.device.type for t in tensors} == {"meta"}


def test_a_step_without_any_true_row_leaves_the_student_unmoved():
    student = Classifier(norm=False)
    before = state_of(student)
    data = [{**batch, "labeled": torch.zeros(4).bool()} for batch in batches()]
    trainer = make_trainer(student, {}, {"label": {**LABEL, "where": "labeled"}}, data)
    trainer.run()
    assert same(student, before) and trainer.state.output["loss"].item() == 0
    assert all((p.grad == 0).all() for p in student.parameters())


def test_an_objective_without_active_terms_is_counted_and_leaves_the_student_unmoved():
    student = Classifier(norm=False)
    before = state_of(student)
    trainer = make_trainer(student, {}, {"label": {**LABEL, "weight": 0}}, batches(3))
    trainer.run()
    assert same(student, before) and trainer.loss_function.empty == 3
