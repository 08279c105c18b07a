# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_kd.data import check_unseen
from monai_kd.handlers import FinalModelSaver
from monai_kd.networks import Teacher, load_weights, read_origin
from monai_kd.utils import DataError
from monai_kd.utils.checksums import file_sha256
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer


def train(student: nn.Module, path, *handlers, epochs: int = 2):
    passes = {"teacher": {"network": Teacher(Classifier())}}
    handlers = (FinalModelSaver(student, path), *handlers)
    trainer = make_trainer(
        student, passes, {"label": LABEL, "mimic": MIMIC}, batches(), epochs, train_handlers=handlers
    )
    trainer.run()
    return trainer


def test_has_the_plain_keys_and_loads_without_this_package(tmp_path):
    student, plain = Classifier(), Classifier()
    train(student, tmp_path / "models" / "model.pt")
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert list(state) == list(plain.state_dict())
    assert all(value.equal(state[name]) for name, value in student.state_dict().items())
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["model.pt"]


class Break:
    """Fail in the second step."""

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), self)

    def __call__(self, engine):
        raise RuntimeError("the disk is on fire")


def test_an_aborted_run_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"the good one")
    with pytest.raises(RuntimeError, match="on fire"):
        train(Classifier(), path, Break())
    assert path.read_bytes() == b"the good one"


class Stop:
    """Ask for the end after the first epoch, as early stopping does."""

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine):
        engine.terminate()


def test_a_run_that_stops_early_is_written(tmp_path):
    student = Classifier()
    assert train(student, tmp_path / "model.pt", Stop(), epochs=9).state.epoch == 1
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(value.equal(state[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize("killed", ["write_state", "write_torchscript"])
def test_killed_on_the_way_no_case_of_the_weights_is_missing(tmp_path, monkeypatch, killed):
    trainer, path = make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), 1), tmp_path / "model.pt"
    FinalModelSaver(Classifier(), path, cases=["a", "b"])(trainer)

    def kill(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"monai_kd.handlers.final_model.{killed}", kill)
        FinalModelSaver(Classifier(), path, tmp_path / "model.ts", cases=["c"])(trainer)
    assert json.loads((tmp_path / "model.cases.json").read_text()) == {"cases": ["a", "b", "c"]}
    FinalModelSaver(Classifier(), path, cases=["c"])(trainer)
    assert json.loads((tmp_path / "model.cases.json").read_text()) == {"cases": ["c"]}


def test_which_training_the_weights_are_of_is_noted_beside_them(tmp_path):
    trainer, path = make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), 1), tmp_path / "model.pt"
    FinalModelSaver(Classifier(), path, origin={"recipe": "kd", "seed": 1})(trainer)
    assert read_origin(path) == {"recipe": "kd", "seed": 1}
    FinalModelSaver(Classifier(), path)(trainer)
    assert read_origin(path) == {}


def test_the_origin_tells_the_file_of_the_teacher(tmp_path):
    for name in ("teacher.pt", "other.pt"):
        torch.save(Classifier().state_dict(), tmp_path / name)
    student, passes = (
        Classifier(),
        {"teacher": {"network": Teacher(load_weights(Classifier(), tmp_path / "teacher.pt"))}},
    )
    digest = file_sha256(tmp_path / "teacher.pt")
    saver = FinalModelSaver(student, tmp_path / "model.pt", origin={"recipe": "kd"})
    trainer = make_trainer(student, passes, {"label": LABEL, "mimic": MIMIC}, batches(2), 1, train_handlers=[saver])
    trainer.add_event_handler(  # what lies there when the run ends did not teach it
        Events.EPOCH_COMPLETED, lambda: (tmp_path / "other.pt").replace(tmp_path / "teacher.pt")
    )
    trainer.run()
    assert read_origin(tmp_path / "model.pt") == {"recipe": "kd", "teachers": [digest]}


def test_names_without_an_ending_keep_files_of_their_own(tmp_path):
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), 1)
    for name in ("kd_0.1", "kd_0.2"):
        FinalModelSaver(Classifier(), tmp_path / name, cases=[name], origin={"recipe": name})(trainer)
    assert [read_origin(tmp_path / name)["recipe"] for name in ("kd_0.1", "kd_0.2")] == ["kd_0.1", "kd_0.2"]
    with pytest.raises(DataError, match="was trained on 1 of the cases"):
        check_unseen(tmp_path / "kd_0.1", [{"case": "kd_0.1"}])


def test_only_the_first_process_writes(tmp_path):
    student = Classifier()
    trainer = make_trainer(student, {}, {"label": LABEL}, batches(2), 1)
    trainer.state.rank = 1
    FinalModelSaver(student, tmp_path / "model.pt")(trainer)
    assert not (tmp_path / "model.pt").exists()


def test_a_compiled_network_is_written_plain(tmp_path):
    student = Classifier()
    trainer = make_trainer(student, {}, {"label": LABEL}, batches(2), 1)
    FinalModelSaver(torch.compile(student, backend="eager"), tmp_path / "model.pt")(trainer)
    assert torch.load(tmp_path / "model.pt", weights_only=True).keys() == student.state_dict().keys()
