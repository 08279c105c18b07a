# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from ignite.metrics import Accuracy, Average
from monai.data import DataLoader, Dataset
from monai.handlers import CheckpointSaver, GarbageCollector, LrScheduleHandler, MetricLogger, StatsHandler, from_engine
from monai.transforms import Compose, EnsureTyped, RandGaussianNoised
from torch import nn

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA, Checkpoint, Snapshot, TermLogger, Weights
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher, load_weights
from monai_kd.utils import CheckpointError, ramp_up
from tests.nets import LABEL, MIMIC, Classifier, batches, images, make_trainer, same, state_of


class Session:
    """One process's worth of everything: built anew from another seed, it must go on as if it had never stopped."""

    def __init__(self, folder: Path, epochs: int, resume: bool, born_again: bool = False, noise: bool = False, seed: int = 0):
        torch.manual_seed(3)
        frozen = Classifier(width=3)
        items = [{"image": x, "image_2": x + 1, "label": torch.tensor(i % 3)} for i, x in enumerate(images(12))]
        torch.manual_seed(seed)
        self.student, self.connector = Classifier(dropout=0.5), nn.Conv2d(4, 3, 1)
        self.average = Teacher.copy_of(self.student)
        passes = {
            "student": {"taps": {"hint": "act"}},
            "teacher": {"network": Teacher(frozen), "taps": {"hint": "act"}},
            "average": {"keys": "image_2", "network": self.average},
            "connector": {"keys": "student.hint", "network": self.connector},
        }
        terms = {
            "label": LABEL,
            "kd": MIMIC,
            "hint": {**MIMIC, "inputs": ["connector", "teacher.hint"]},
            "consistency": {**MIMIC, "inputs": ["student", "average"]},
        }
        inferer, objective = DistillationInferer(passes), Objective(terms)
        self.optimizer = torch.optim.Adam(monai_kd.trainable(self.student, inferer), lr=0.01)
        moving = Snapshot(self.average, self.student, every=2, restart=True) if born_again else EMA(self.average, self.student)
        self.checkpoint = Checkpoint(folder, resume=resume)
        transform = Compose([RandGaussianNoised(keys="image", prob=0.5), EnsureTyped(keys="image", track_meta=False)])
        self.losses: dict[int, float] = {}
        self.trainer = DistillationTrainer(
            device="cpu",
            max_epochs=epochs,
            train_data_loader=DataLoader(Dataset(items, transform if noise else None), batch_size=4, shuffle=True),
            network=self.student,
            optimizer=self.optimizer,
            loss_function=objective,
            inferer=inferer,
            train_handlers=[
                self.checkpoint,
                moving,
                LrScheduleHandler(torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.8), print_lr=False),
                Weights(objective, {"consistency": ramp_up(4)}),
                TermLogger(objective),
            ],
        )
        self.trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda e: self.losses.update({e.state.iteration: e.state.output["loss"].item()})
        )
        self.trainer.run()

    def state(self) -> dict[str, torch.Tensor]:
        networks = {"student": self.student, "connector": self.connector, "average": self.average.network}
        state = {f"{name}.{k}": v for name, net in networks.items() for k, v in net.state_dict().items()}
        for i, slot in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{i}.{k}": v for k, v in slot.items()}
        return state


def assert_identical(one: Session, other: Session) -> None:
    assert one.state().keys() == other.state().keys()
    assert {key: float((one.state()[key].double() - value.double()).abs().max()) for key, value in other.state().items()} == dict.fromkeys(one.state(), 0.0)
    assert one.optimizer.param_groups[0]["lr"] == other.optimizer.param_groups[0]["lr"]
    assert one.trainer.state.iteration == other.trainer.state.iteration
    assert one.trainer.state.metrics == other.trainer.state.metrics
    assert all(other.losses[i] == loss for i, loss in one.losses.items() if i in other.losses)


@pytest.mark.parametrize("stop", [1, 2, 4])
@pytest.mark.parametrize("born_again", [False, True], ids=["ema", "born again"])
def test_stopping_and_going_on_differs_by_exactly_nothing(tmp_path, stop, born_again):
    whole = Session(tmp_path / "whole", 5, resume=False, born_again=born_again)
    Session(tmp_path / "parts", stop, resume=False, born_again=born_again)
    rest = Session(tmp_path / "parts", 5, resume=True, born_again=born_again, seed=99)
    assert min(rest.losses) == 3 * stop + 1  # it did go on, and with more epochs than the file says
    assert_identical(whole, rest)


def test_random_transforms_go_on_where_they_stopped(tmp_path):
    whole = Session(tmp_path / "whole", 4, resume=False, noise=True)
    Session(tmp_path / "parts", 2, resume=False, noise=True)
    assert_identical(whole, Session(tmp_path / "parts", 4, resume=True, noise=True))


def test_the_run_does_differ_if_a_part_is_left_out(tmp_path):
    whole = Session(tmp_path / "whole", 3, resume=False)
    Session(tmp_path / "parts", 2, resume=False)
    file = tmp_path / "parts" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    state["passes"]["connector"]["weight"].zero_()
    torch.save(state, file)
    rest = Session(tmp_path / "parts", 3, resume=True)
    assert not torch.equal(whole.connector.weight, rest.connector.weight)


def test_without_a_file_a_run_that_resumes_starts_anew(tmp_path):
    assert_identical(Session(tmp_path / "a", 2, resume=True), Session(tmp_path / "b", 2, resume=False))


def test_without_resume_a_file_that_is_there_is_not_read(tmp_path):
    first = Session(tmp_path, 2, resume=False)
    again = Session(tmp_path, 2, resume=False)
    assert_identical(first, again)
    assert min(again.losses) == 1


def test_a_run_that_is_done_does_nothing_more(tmp_path):
    done = Session(tmp_path, 2, resume=False)
    again = Session(tmp_path, 2, resume=True)
    assert again.losses == {} and same(again.student, done.student.state_dict())


def test_fewer_epochs_than_are_done_is_an_error_that_names_the_file(tmp_path):
    Session(tmp_path, 3, resume=False)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: 3 epochs are done and max_epochs is 2"):
        Session(tmp_path, 2, resume=True)


def test_the_file_holds_tensors_and_numbers_of_everything_but_the_frozen_teacher(tmp_path):
    session = Session(tmp_path, 1, resume=False)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert set(state) == {"network", "optimizer", "trainer", "objective", "passes", "handlers", "random"}
    assert set(state["passes"]) == {"connector"} and set(state["handlers"]) == {"EMA_0", "ExponentialLR_0"}
    assert state["network"].keys() == session.student.state_dict().keys()
    assert len(state["optimizer"]["state"]) == len(list(session.student.parameters())) + 2
    teacher = session.trainer.inferer.networks["teacher"].network.conv.weight
    assert not any(torch.equal(teacher, t) for t in tensors(state) if t.shape == teacher.shape)


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


def simple(folder: Path, student: nn.Module | None = None, epochs: int = 1, handlers=(), passes=None, **kwargs):
    checkpoint = Checkpoint(folder, **{k: kwargs.pop(k) for k in ("resume", "save_interval", "filename") if k in kwargs})
    handlers = [checkpoint, *handlers]
    return make_trainer(student or Classifier(), passes or {}, {"label": LABEL}, batches(2), epochs, train_handlers=handlers, **kwargs)


def test_the_student_can_be_loaded_from_the_file(tmp_path):
    student = Classifier()
    simple(tmp_path, student).run()
    assert same(load_weights(Classifier(), tmp_path / "checkpoint.pt"), student.state_dict())


def test_the_published_student_has_the_plain_keys_and_loads_without_this_package(tmp_path):
    student, plain = Classifier(), Classifier()
    passes = {"teacher": {"network": Teacher(Classifier())}}
    saver = CheckpointSaver(str(tmp_path), {"network": student}, save_final=True, final_filename="model.pt")
    make_trainer(student, passes, {"mimic": MIMIC}, batches(), train_handlers=[saver]).run()
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(state) == list(plain.state_dict())
    plain.load_state_dict(state)
    assert same(plain, student.state_dict())


@pytest.mark.parametrize(("every", "written"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (5, [5])])
def test_is_written_every_so_many_epochs(tmp_path, monkeypatch, every, written):
    epochs = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, engine: epochs.append(engine.state.epoch))
    simple(tmp_path, epochs=5, save_interval=every).run()
    assert epochs == written


def test_nothing_is_left_beside_the_file(tmp_path):
    simple(tmp_path / "new" / "folder", epochs=3, filename="state.pt").run()
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["state.pt"]


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
        monkeypatch.setattr(Checkpoint, name, lambda self, e, f=original, n=name: calls.append((n, e.state.epoch)) or f(self, e))
    trainer.state.max_epochs = 4
    trainer.run()
    assert calls == [("save", 3), ("save", 4)]


def test_is_written_after_every_other_handler_of_the_epochs_end(tmp_path):
    student = Classifier()
    trainer = simple(tmp_path, student)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: nn.init.constant_(student.head.bias, 9.0))
    trainer.run()
    assert (torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]["head.bias"] == 9).all()


def test_generators_go_on_where_they_were(tmp_path):
    trainer = simple(tmp_path)
    trainer.run()
    file = trainer_file = tmp_path / "checkpoint.pt"
    assert trainer_file.is_file()
    Checkpoint(tmp_path).save(trainer)
    import random

    expected = (torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)])
    trainer.state.max_epochs = 9
    Checkpoint(tmp_path, filename=file.name).load(trainer)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), [random.random() for _ in range(3)]) == expected


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
            StatsHandler(output_transform=from_engine("loss")),
            MetricLogger(loss_transform=lambda output: output["loss"].item()),
            GarbageCollector(),
        ]

    simple(tmp_path, epochs=2, handlers=loggers()).run()
    torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    rest = simple(tmp_path, epochs=4, resume=True, handlers=loggers())
    rest.run()
    assert rest.state.iteration == 8


def test_metrics_begin_anew_every_epoch_and_are_no_part_of_it(tmp_path):
    # their state_dict gathers over the processes, and only one of them writes
    metrics = {
        "key_train_metric": {"accuracy": Accuracy(output_transform=lambda o: (o["pred"], o["label"]))},
        "additional_metrics": {"mean": Average(output_transform=lambda o: o["pred"].mean().item())},
    }
    simple(tmp_path, **metrics).run()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True).get("handlers", {}) == {}


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
        return memory, make_trainer(Classifier(), passes, terms, batches(2), epochs, train_handlers=[Checkpoint(tmp_path, resume=resume)])

    build(2)[1].run()
    memory, trainer = build(3, resume=True)
    trainer.run()
    assert memory.seen == 3 * 2 * 4
