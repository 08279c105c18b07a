# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is left behind, and what is refused."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from monai.engines.utils import IterationEvents
from monai.inferers import SimpleInferer
from torch import nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import Checkpoint
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError, ShapeMismatchError, TapError, UnknownLayerError, UnknownNameError
from tests.nets import (
    HINTED,
    LABEL,
    MIMIC,
    Classifier,
    batches,
    both,
    hooks,
    images,
    make_trainer,
    same,
)


def test_no_hook_is_left_and_everything_can_be_copied_and_pickled_after_training():
    student, teacher, x = Classifier(), Teacher(Classifier()), images()
    trainer = make_trainer(student, both(teacher), {"label": LABEL, "mimic": MIMIC, "hint": HINTED}, batches())
    trainer.run()
    assert hooks(student) == hooks(teacher.network) == 0
    for part in (student, teacher):
        for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
            assert torch.equal(other.eval()(x), part.eval()(x))
    for other in (copy.deepcopy(trainer.inferer), pickle.loads(pickle.dumps(trainer.inferer))):
        assert torch.equal(
            other({"image": x}, student)["teacher.hint"], trainer.inferer({"image": x}, student)["teacher.hint"]
        )


def test_the_student_can_be_copied_and_pickled_in_the_middle_of_a_step():
    student, copies = Classifier(), []
    trainer = make_trainer(student, both(Teacher(Classifier())), {"label": LABEL, "hint": HINTED}, batches(1))
    for event in (
        IterationEvents.FORWARD_COMPLETED,
        IterationEvents.LOSS_COMPLETED,
        IterationEvents.BACKWARD_COMPLETED,
    ):
        trainer.add_event_handler(
            event, lambda _: copies.extend([copy.deepcopy(student), pickle.loads(pickle.dumps(student))])
        )
    trainer.run()
    assert len(copies) == 6 and all(hooks(other) == 0 for other in copies)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_no_hook_is_left_after_an_exception_in_a_forward(role):
    networks = {"student": Classifier(), "teacher": Classifier()}
    networks[role].deep = nn.Conv2d(9, 4, 1)  # after the tap
    trainer = make_trainer(
        networks["student"], both(Teacher(networks["teacher"])), {"label": LABEL, "hint": HINTED}, batches()
    )
    with pytest.raises((RuntimeError, ShapeMismatchError), match="channels"):
        trainer.run()
    assert hooks(networks["student"]) == hooks(networks["teacher"]) == 0
    assert networks["teacher"].training


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_tap_that_is_overwritten_in_place_names_pass_tap_and_layer(role):
    networks = {"student": Classifier(), "teacher": Classifier()}
    networks[role].act = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True))
    passes = {
        "student": {"taps": {"hint": "norm"}},
        "teacher": {"network": Teacher(networks["teacher"]), "taps": {"hint": "norm"}},
    }
    passes[role]["taps"] = {"hint": "act.0"}
    with pytest.raises(TapError, match=f"pass '{role}', tap 'hint' on 'act.0'"):
        make_trainer(networks["student"], passes, {"hint": HINTED}, batches()).run()


def test_an_unknown_layer_is_found_when_the_run_starts():
    passes = {"student": {"taps": {"hint": "layer"}}}
    trainer = make_trainer(Classifier(), passes, {"label": LABEL}, NeverRead())
    with pytest.raises(UnknownLayerError, match="pass 'student', tap 'hint'"):
        trainer.run()


class NeverRead:
    def __len__(self):
        return 1

    def __iter__(self):
        raise AssertionError("a batch was read")


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_an_unknown_pass_is_found_when_the_run_starts_even_if_its_term_is_off_yet(weight):
    terms = {"label": LABEL, "hint": {**HINTED, "inputs": ["student.hint", "techer.hint"], "weight": weight}}
    trainer = make_trainer(Classifier(), both(Teacher(Classifier())), terms, NeverRead())
    with pytest.raises(UnknownNameError, match=r"'teacher.hint'"):
        trainer.run()


def test_an_unknown_batch_key_is_found_at_the_first_iteration():
    terms = {"label": {**LABEL, "inputs": ["student", "lable"]}}
    trainer = make_trainer(Classifier(), {}, terms, batches())
    with pytest.raises(UnknownNameError, match=r"no 'lable'.*did you mean.*'label'"):
        trainer.run()
    assert trainer.state.iteration == 1


def test_a_pass_with_the_name_of_a_batch_key_is_an_error():
    with pytest.raises(ConfigError, match="pass 'image_2'"):
        make_trainer(Classifier(), {"image_2": {}}, {"label": LABEL}, batches()).run()


def test_an_inferer_and_a_loss_of_another_kind_are_refused():
    student = Classifier()
    common = dict(device="cpu", max_epochs=1, train_data_loader=batches(), network=student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="SimpleInferer"):
        DistillationTrainer(
            **common, optimizer=optimizer, loss_function=Objective({"label": LABEL}), inferer=SimpleInferer()
        )
    with pytest.raises(ConfigError, match="CrossEntropyLoss"):
        DistillationTrainer(
            **common,
            optimizer=optimizer,
            loss_function=nn.CrossEntropyLoss(),
            inferer=DistillationInferer({"student": {}}),
        )


def test_two_trainers_may_share_an_inferer():
    teacher = Teacher(Classifier())
    inferer, data = DistillationInferer({"student": {}, "teacher": {"network": teacher}}), batches()
    shared, alone = [Classifier(), Classifier(width=2)], []
    alone = copy.deepcopy(shared)
    for student, own in zip(shared + alone, [inferer, inferer, None, None], strict=True):
        DistillationTrainer(
            device="cpu",
            max_epochs=2,
            train_data_loader=data,
            network=student,
            optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
            loss_function=Objective({"label": LABEL, "mimic": MIMIC}),
            inferer=own or DistillationInferer({"student": {}, "teacher": {"network": teacher}}),
        ).run()
    assert all(same(a, b.state_dict()) for a, b in zip(shared, alone, strict=True))


def test_the_student_is_the_network_out_of_its_wrapper():
    student = Classifier()
    assert make_trainer(torch.compile(student, backend="eager"), {}, {"label": LABEL}, batches()).student is student


def test_a_loader_that_stops_early_is_an_error_and_nothing_is_saved(tmp_path):
    class Failing(list):
        def __iter__(self):
            yield self[0]  # then its thread dies, and MONAI's ThreadDataLoader just ends

    saver = Checkpoint(tmp_path)
    trainer = make_trainer(
        Classifier(),
        {"teacher": {"network": Teacher(Classifier())}},
        {"mimic": MIMIC},
        Failing(batches(1)),
        train_handlers=[saver],
    )
    trainer.state.epoch_length = 3
    trainer.data_loader = iter(trainer.data_loader)
    with pytest.raises(ConfigError, match="epoch 1 ended after 1 of 3 iterations"):
        trainer.run()
    assert not saver.path.exists()


@pytest.mark.parametrize("epochs", [0, -1, 2.5, "two"])
def test_epochs_that_cannot_be_counted_are_refused(epochs):
    with pytest.raises(ConfigError, match=f"max_epochs: must be a whole number of 1 or more, got {epochs!r}"):
        make_trainer(Classifier(), {}, {"label": LABEL}, batches(1), epochs)
