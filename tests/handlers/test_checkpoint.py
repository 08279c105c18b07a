# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Accuracy, Average
from monai.data import DataLoader, Dataset
from monai.handlers import LrScheduleHandler, MetricLogger, StatsHandler
from monai.transforms import Compose, RandFlipd
from torch import nn

from monai_kd.handlers import EMA, Checkpoint
from monai_kd.networks import Teacher, load_weights
from monai_kd.utils import CheckpointError, ConfigError
from tests.nets import LABEL, Classifier, batches, images, make_trainer, same, state_of


def simple(folder: Path, student: nn.Module | None = None, epochs: int = 1, handlers=(), passes=None, **kwargs):
    checkpoint = Checkpoint(
        folder, **{k: kwargs.pop(k) for k in ("resume", "save_interval", "filename", "origin") if k in kwargs}
    )
    handlers = [checkpoint, *handlers]
    return make_trainer(
        student or Classifier(), passes or {}, {"label": LABEL}, batches(2), epochs, train_handlers=handlers, **kwargs
    )


def test_the_student_can_be_loaded_from_the_file(tmp_path):
    student = Classifier()
    simple(tmp_path, student).run()
    assert same(load_weights(Classifier(), tmp_path / "checkpoint.pt"), student.state_dict())


@pytest.mark.parametrize(("every", "written"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5])])
def test_is_written_every_so_many_epochs(tmp_path, monkeypatch, every, written):
    epochs = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, engine: epochs.append(engine.state.epoch))
    simple(tmp_path, epochs=5, save_interval=every).run()
    assert epochs == written


def test_nothing_but_the_file_before_is_left_beside_the_file(tmp_path):
    simple(tmp_path / "new" / "folder", epochs=3, filename="state.pt").run()
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["state.previous.pt", "state.pt"]


def test_the_file_before_is_not_kept_if_it_is_not_wanted(tmp_path):
    make_trainer(
        Classifier(),
        {},
        {"label": LABEL},
        batches(1),
        3,
        train_handlers=[Checkpoint(tmp_path, keep_previous=False)],
    ).run()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def epoch_of(path: Path) -> int:
    return torch.load(path, weights_only=True)["trainer"]["iteration"] // 2


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"half"), Path.unlink])
def test_where_the_file_cannot_be_read_the_one_before_is_taken_with_a_warning(tmp_path, caplog, damage):
    simple(tmp_path, epochs=3).run()
    file, previous = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt"
    assert (epoch_of(previous), epoch_of(file)) == (2, 3)
    damage(file)
    trainer = simple(tmp_path, epochs=3, resume=True)
    trainer.run()
    (told,) = [r.getMessage() for r in caplog.records if "Resumes from the one before" in r.getMessage()]
    assert str(file) in told and f"{previous}, epoch 2" in told
    assert (epoch_of(previous), epoch_of(file)) == (2, 3)  # what is damaged never takes the place of what is not


def test_where_neither_can_be_read_both_are_named(tmp_path):
    simple(tmp_path, epochs=2).run()
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / name).write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"checkpoint.previous.pt, .*checkpoint.pt: cannot be read"):
        simple(tmp_path, epochs=3, resume=True).run()


def test_what_another_run_left_is_never_gone_on_from(tmp_path):
    simple(tmp_path, epochs=3).run()
    simple(tmp_path).run()  # anew
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"] and epoch_of(tmp_path / "checkpoint.pt") == 1


def test_where_there_are_no_hard_links_the_file_before_is_kept_too(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "no hard links")

    monkeypatch.setattr("os.link", refuse)
    simple(tmp_path, epochs=3).run()
    assert [epoch_of(tmp_path / name) for name in ("checkpoint.previous.pt", "checkpoint.pt")] == [2, 3]


def test_a_writing_that_fails_leaves_the_last_file_whole(tmp_path, monkeypatch):
    trainer = simple(tmp_path)
    trainer.run()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def fail(state, path):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    trainer.state.max_epochs = 2
    with pytest.raises(OSError, match="no space"):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_second_run_writes_once_an_epoch_and_does_not_load_again(tmp_path, monkeypatch):
    simple(tmp_path).run()
    trainer = simple(tmp_path, epochs=2, resume=True)
    trainer.run()
    calls = []
    for name in ("save", "load"):
        original = getattr(Checkpoint, name)
        monkeypatch.setattr(
            Checkpoint, name, lambda self, e, f=original, n=name: calls.append((n, e.state.epoch)) or f(self, e)
        )
    trainer.state.max_epochs = 4
    trainer.run()
    assert calls == [("save", 3), ("save", 4)]


def test_is_written_after_every_other_handler_of_the_epochs_end(tmp_path):
    student = Classifier()
    trainer = simple(tmp_path, student)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: nn.init.constant_(student.head.bias, 9.0))
    trainer.run()
    assert (torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]["head.bias"] == 9).all()


def test_other_random_transforms_are_an_error_that_names_the_file(tmp_path):
    def loader(*transforms):
        return DataLoader(Dataset([{"image": images(1)[0], "label": 1}], Compose(transforms)))

    student, terms = Classifier(), {"label": LABEL}
    make_trainer(student, {}, terms, loader(RandFlipd("image")), train_handlers=[Checkpoint(tmp_path)]).run()
    resumed = [Checkpoint(tmp_path, resume=True)]
    with pytest.raises(CheckpointError, match=r"checkpoint.pt.*transforms"):
        make_trainer(student, {}, terms, loader(), epochs=2, train_handlers=resumed).run()


def test_a_schedule_of_learning_rates_that_waits_for_a_plateau_goes_on(tmp_path):
    def run(epochs, resume=False):
        student = Classifier()
        optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        worse = LrScheduleHandler(plateau, print_lr=False, step_transform=lambda engine: float(engine.state.epoch))
        simple(tmp_path, student, epochs, [worse], resume=resume, optimizer=optimizer).run()
        return plateau.num_bad_epochs, plateau.best, optimizer.param_groups[0]["lr"]

    assert run(2) == (1, 1.0, 0.1)
    assert run(3, resume=True) == (0, 1.0, pytest.approx(0.01))


@pytest.mark.parametrize("other", ["passes", "handlers"])
def test_a_run_of_other_parts_is_an_error_that_names_them(tmp_path, other):
    simple(tmp_path).run()
    student = Classifier()
    teacher = Teacher.copy_of(student)
    more = {
        "passes": {"passes": {"head": {"keys": "student", "network": nn.Linear(3, 3)}}},
        "handlers": {"handlers": [EMA(teacher, student)]},
    }
    names = {"passes": "passes.head", "handlers": "handlers.EMA_0"}
    with pytest.raises(CheckpointError, match=f"checkpoint.pt: .*other parts.*{names[other]}"):
        simple(tmp_path, student, epochs=2, resume=True, **more[other]).run()


def test_another_student_is_an_error_that_names_file_and_part(tmp_path):
    simple(tmp_path).run()
    with pytest.raises(CheckpointError, match=r"(?s)checkpoint.pt, network: cannot load: .*head.weight"):
        simple(tmp_path, Classifier(classes=5), epochs=2, resume=True).run()


def test_another_optimiser_is_an_error_that_names_file_and_part(tmp_path):
    simple(tmp_path).run()
    student = Classifier()
    optimizer = torch.optim.SGD([{"params": [p]} for p in student.parameters()], lr=0.1)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt, optimizer: cannot load"):
        simple(tmp_path, student, epochs=2, resume=True, optimizer=optimizer).run()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_file_is_named(tmp_path, damage):
    simple(tmp_path).run()
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError, match=r"checkpoint.pt"):
        simple(tmp_path, epochs=2, resume=True).run()


def test_a_students_own_file_is_not_taken_for_a_checkpoint(tmp_path):
    torch.save(Classifier().state_dict(), tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint.pt"):
        simple(tmp_path, epochs=2, resume=True).run()


def test_monais_loggers_do_not_hinder_it(tmp_path):
    def loggers():
        return [
            StatsHandler(output_transform=lambda output: output["loss"].item()),
            MetricLogger(loss_transform=lambda output: output["loss"].item()),
        ]

    simple(tmp_path, epochs=2, handlers=loggers()).run()
    torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    rest = simple(tmp_path, epochs=4, resume=True, handlers=loggers())
    rest.run()
    assert rest.state.iteration == 8


@pytest.mark.parametrize("state", [defaultdict(list, loss=[1.0]), {"best": np.float64(1)}, {"path": Path("a")}])
def test_a_handler_whose_state_is_more_than_plain_values_never_spoils_the_file(tmp_path, state):
    class Handler:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

        def __call__(self, engine):
            pass

        def state_dict(self):
            return state

        def load_state_dict(self, state):
            raise AssertionError("it was not saved")

    simple(tmp_path, handlers=[Handler()]).run()
    torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    simple(tmp_path, epochs=2, handlers=[Handler()], resume=True).run()


def test_metrics_begin_anew_every_epoch_and_are_no_part_of_it(tmp_path):
    # their state_dict gathers over the processes, and only one of them writes
    metrics = {
        "key_train_metric": {"accuracy": Accuracy(output_transform=lambda o: (o["pred"], o["label"]))},
        "additional_metrics": {"mean": Average(output_transform=lambda o: o["pred"].mean().item())},
    }
    simple(tmp_path, **metrics).run()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True).get("handlers", {}) == {}


@pytest.mark.filterwarnings("ignore:.*(CUDA|cuda|GradScaler).*")
def test_monais_amp_is_part_of_it_and_does_nothing_on_a_cpu(tmp_path):
    student, plain = Classifier(), Classifier()
    plain.load_state_dict(student.state_dict())
    data = batches(2)
    for network, amp in ((student, True), (plain, False)):
        handlers = [Checkpoint(tmp_path / str(amp))]
        make_trainer(network, {}, {"label": LABEL}, data, amp=amp, train_handlers=handlers).run()
    assert same(student, plain.state_dict())
    assert "scaler" in torch.load(tmp_path / "True" / "checkpoint.pt", weights_only=True)
    again = make_trainer(
        student, {}, {"label": LABEL}, data, 2, amp=True, train_handlers=[Checkpoint(tmp_path / "True", resume=True)]
    )
    again.run()
    assert again.state.iteration == 4


def test_two_handlers_of_one_kind_keep_their_own_states(tmp_path):
    def build(epochs, resume=False):
        student = Classifier(norm=False)
        teachers = [Teacher.copy_of(student), Teacher.copy_of(student)]
        emas = [EMA(t, student, momentum=m, warmup=False) for t, m in zip(teachers, (0.1, 0.9), strict=True)]
        trainer = simple(tmp_path, student, epochs, handlers=emas, resume=resume)
        return trainer, emas

    trainer, emas = build(2)
    trainer.run()
    saved = [state_of(ema.teacher.network) for ema in emas]
    trainer, emas = build(2, resume=True)
    trainer.run()
    assert [same(ema.teacher.network, state) for ema, state in zip(emas, saved, strict=True)] == [True, True]
    assert not same(emas[0].teacher.network, saved[1])


def test_a_memory_without_parameters_is_saved(tmp_path):
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += len(x)
            return x

    def build(epochs, resume=False):
        memory = Memory()
        passes = {"memory": {"keys": "student", "network": memory}}
        terms = {"label": {**LABEL, "inputs": ["memory", "label"]}}
        return memory, make_trainer(
            Classifier(), passes, terms, batches(2), epochs, train_handlers=[Checkpoint(tmp_path, resume=resume)]
        )

    build(2)[1].run()
    memory, trainer = build(3, resume=True)
    trainer.run()
    assert memory.seen == 3 * 2 * 4


def taught(folder: Path, teacher: Path, **kwargs):
    passes = {"teacher": {"network": Teacher(load_weights(Classifier(), teacher))}}
    return simple(folder, passes=passes, **kwargs)


def test_a_run_that_was_begun_otherwise_is_not_gone_on_from(tmp_path):
    for name in ("one.pt", "other.pt"):
        torch.save(Classifier().state_dict(), tmp_path / name)
    folder, teacher, origin = tmp_path / "run", tmp_path / "one.pt", {"recipe": "kd", "seed": 0}
    taught(folder, teacher, origin=origin).run()
    taught(folder, teacher, origin={**origin, "fold": 1}, epochs=2, resume=True).run()  # of folds it knew nothing
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: is of a run that was begun with seed 0, now 1. ask for"):
        taught(folder, teacher, origin={"recipe": "kd", "seed": 1}, epochs=3, resume=True).run()
    with pytest.raises(CheckpointError, match=r"SHA-256 of pass 'teacher' '\w{12}', now '\w{12}'"):
        taught(folder, tmp_path / "other.pt", origin=origin, epochs=3, resume=True).run()


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(("other", "told"), [({"lr": 0.1}, "learning rate"), ({"weight_decay": 0.2}, "weight decay")])
def test_another_learning_rate_or_weight_decay_is_not_passed_over(tmp_path, scheduled, other, told):
    def run(epochs: int, **settings: float) -> None:
        student = Classifier()
        optimizer = torch.optim.SGD(student.parameters(), **{"lr": 0.01, **settings})
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        handlers = [LrScheduleHandler(schedule, print_lr=False)] if scheduled else []
        simple(tmp_path, student, epochs, handlers, optimizer=optimizer, resume=epochs > 1).run()

    run(1)
    run(2)
    with pytest.raises(CheckpointError, match=rf"begun with {told} [\d.]+, now [\d.]+\."):
        run(3, **other)


def test_an_interval_of_no_epochs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="save_interval: must be 1 or more epochs, got 0"):
        Checkpoint(tmp_path, save_interval=0)
