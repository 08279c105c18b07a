# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_kd.engines import alternate, stage
from monai_kd.handlers import EMA, Checkpoint, TermLogger, Weights
from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError, linear
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer, same, state_of


def log_turns(trainers) -> list[tuple[int, int]]:
    """Which trainer ran which epoch, as it happens."""
    turns: list[tuple[int, int]] = []
    for i, trainer in enumerate(trainers):
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda e, i=i: turns.append((i, e.state.epoch)))
    return turns


@pytest.mark.parametrize("max_epochs", [1, 5])
def test_trainers_take_turns_and_go_on_where_they_stopped(max_epochs):
    trainers = [make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), max_epochs) for _ in range(2)]
    turns = log_turns(trainers)
    alternate(trainers, rounds=3)
    assert turns == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]
    assert [trainer.state.iteration for trainer in trainers] == [6, 6]


def test_turns_may_differ_in_length():
    trainers = [make_trainer(Classifier(), {}, {"label": LABEL}, batches(1)) for _ in range(2)]
    turns = log_turns(trainers)
    alternate(trainers, rounds=2, epochs_per_round=[2, 1])
    assert turns == [(0, 1), (0, 2), (1, 1), (0, 3), (0, 4), (1, 2)]


def test_a_trainer_that_has_run_goes_on():
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), epochs=2)
    trainer.run()
    alternate([trainer], rounds=2)
    assert (trainer.state.epoch, trainer.state.iteration) == (4, 8)


def test_rounds_of_one_trainer_are_one_long_run():
    rounds, long = Classifier(), Classifier()
    long.load_state_dict(rounds.state_dict())
    data = batches(3)
    alternate([make_trainer(rounds, {}, {"label": LABEL}, data, momentum=0.9)], rounds=3)
    make_trainer(long, {}, {"label": LABEL}, data, epochs=3, momentum=0.9).run()
    assert same(rounds, long.state_dict())


def test_peers_teach_each_other_in_turns():
    one, other = Classifier(), Classifier(width=2)
    data, terms = batches(2), {"label": LABEL, "mimic": MIMIC}
    trainers = [
        make_trainer(a, {"teacher": {"network": Teacher(b)}}, terms, data) for a, b in ((one, other), (other, one))
    ]
    starts = []
    for trainer in trainers:
        trainer.add_event_handler(Events.STARTED, lambda _: starts.append((copy.deepcopy(one), copy.deepcopy(other))))
    alternate(trainers, rounds=1)
    (one_first, other_first), (one_then, other_then) = starts
    assert not same(one_then, one_first.state_dict()) and same(other_then, other_first.state_dict())
    assert same(one, one_then.state_dict()) and not same(other, other_then.state_dict())


def test_a_head_that_one_stage_trained_teaches_in_the_next():
    student, head, data = Classifier(), nn.Linear(3, 3), batches(2)
    first = make_trainer(
        student, {"head": {"keys": "student", "network": head}}, {"label": {**LABEL, "inputs": ["head", "label"]}}, data
    )
    first.run()
    trained = state_of(head)
    passes = {"head": {"keys": "student", "network": Teacher(head)}}
    make_trainer(student, passes, {"mimic": {**MIMIC, "inputs": ["student", "head"]}}, data).run()
    assert same(head, trained)


def test_handlers_live_through_the_rounds(tmp_path):
    student, data = Classifier(), batches(2)
    copies = copy.deepcopy(student)
    teachers = [Teacher.copy_of(student), Teacher.copy_of(copies)]
    trainers = []
    for network, teacher, folder in zip((student, copies), teachers, ("rounds", "long"), strict=True):
        trainer = make_trainer(
            network, {"teacher": {"network": teacher}}, {"label": LABEL, "mimic": MIMIC}, data, epochs=3
        )
        for handler in (
            EMA(teacher, network, momentum=0.5),
            Weights(trainer.loss_function, {"mimic": linear(3)}),
            TermLogger(trainer.loss_function),
            Checkpoint(tmp_path / folder),
        ):
            handler.attach(trainer)
        trainers.append(trainer)
    alternate(trainers[:1], rounds=3)
    trainers[1].run()
    assert same(student, copies.state_dict()) and same(teachers[0].network, teachers[1].network.state_dict())
    assert trainers[0].state.metrics == trainers[1].state.metrics
    states = [torch.load(tmp_path / f / "checkpoint.pt", weights_only=True)["trainer"] for f in ("rounds", "long")]
    assert states[0] == states[1]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("turn", [2, 3, 4])  # which of the turns is cut short, in its second epoch
def test_trainers_go_on_together_where_they_were_interrupted(tmp_path, turn):
    def peers(folder, stop_at=0):
        torch.manual_seed(0)
        one, other = Classifier(), Classifier(width=2)
        trainers, turns = [], []
        for name, a, b in (("one", one, other), ("other", other, one)):
            passes, terms = {"teacher": {"network": Teacher(b)}}, {"label": LABEL, "mimic": MIMIC}
            trainer = make_trainer(nn.Sequential(a, nn.Dropout(0.5)), passes, terms, batches(2))

            def stop(engine):
                if engine not in turns[-1:]:
                    turns.append(engine)
                if len(turns) == stop_at and engine.state.epoch % 2 == 0:
                    raise Stopped

            trainer.add_event_handler(Events.EPOCH_STARTED, stop)
            Checkpoint(tmp_path / folder, f"{name}.pt", resume=True).attach(trainer)
            trainers.append(trainer)
        return one, other, trainers

    whole = peers("whole")
    alternate(whole[2], 3, 2)
    with pytest.raises(Stopped):
        alternate(peers("cut", turn)[2], 3, 2)
    cut = peers("cut")
    alternate(cut[2], 3, 2)
    assert [t.state.epoch for t in cut[2]] == [6, 6]
    assert same(cut[0], whole[0].state_dict()) and same(cut[1], whole[1].state_dict())


@pytest.mark.parametrize(
    ("count", "rounds", "epochs"), [(0, 1, 1), (2, 0, 1), (2, 1, 0), (2, 1, [1]), (2, 1, [1, 0]), (1, 1, [])]
)
def test_numbers_that_do_not_fit_are_an_error(count, rounds, epochs):
    trainers = [make_trainer(Classifier(), {}, {"label": LABEL}, batches(1)) for _ in range(count)]
    with pytest.raises(ConfigError, match=f"cannot alternate {count} trainers"):
        alternate(trainers, rounds, epochs)
    assert all(trainer.state.epoch == 0 for trainer in trainers)


def make_stage(folder, network: nn.Module, passes: dict, **given):
    terms = {"label": {"loss": nn.CrossEntropyLoss(), "inputs": ["head", "label"]}}
    known = {"device": "cpu", "max_epochs": 2, "train_data_loader": batches(2), "output_dir": folder}
    return stage("pretext", network, passes, terms, lambda p: torch.optim.SGD(p, lr=0.1), **{**known, **given})


def test_a_stage_learns_with_what_its_passes_have_and_keeps_files_of_its_own(tmp_path):
    network, head = Classifier(), nn.Linear(3, 3)
    before = [state_of(network), state_of(head)]
    noted = []
    trainer = make_stage(
        tmp_path,
        network,
        {"student": {}, "head": {"keys": "student", "network": head}},
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        train_handlers=[SimpleNamespace(attach=noted.append)],
        checkpoint={"save_interval": 2},
    )
    trainer.run()
    assert not any(same(net, state) for net, state in zip((network, head), before, strict=True))
    assert trainer.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**2 and "label" in trainer.state.metrics
    assert noted == [trainer]
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"pretext.pt", "pretext/history.csv", "pretext/training.json"}


def test_a_stage_that_is_done_stays_as_it_is(tmp_path):
    network, passes = Classifier(), {"head": {}}
    make_stage(tmp_path, network, passes).run()
    learnt, again = state_of(network), make_stage(tmp_path, network, passes, checkpoint={"resume": True})
    again.run()
    assert again.state.iteration == 4 and same(network, learnt)
    anew = make_stage(tmp_path, network, passes)
    anew.run()
    assert not same(network, learnt)


def test_a_stage_of_nothing_that_learns_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="pretext: nothing in it learns"):
        make_stage(tmp_path, Classifier().requires_grad_(False), {"head": {}})
