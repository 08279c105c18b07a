# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Going on from a file is as if the run had never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, EnsureTyped, RandGaussianNoised
from torch import nn

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import EMA, Checkpoint, Snapshot, TermLogger, Weights
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher
from monai_kd.utils import CheckpointError, ramp_up
from tests.nets import LABEL, MIMIC, Classifier, images, same


class Session:
    """One process's worth of everything: built anew from another seed, it must go on as if it had never stopped."""

    def __init__(
        self, folder: Path, epochs: int, resume: bool, born_again: bool = False, noise: bool = False, seed: int = 0
    ):
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
        moving = (
            Snapshot(self.average, self.student, every=2, restart=True)
            if born_again
            else EMA(self.average, self.student)
        )
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
    assert {
        key: float((one.state()[key].double() - value.double()).abs().max()) for key, value in other.state().items()
    } == dict.fromkeys(one.state(), 0.0)
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
    parts = {"network", "optimizer", "trainer", "objective", "passes", "handlers", "random", "begun_with"}
    assert set(state) == parts
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
