# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
from itertools import count
from types import SimpleNamespace

import torch
from ignite.engine import Engine, Events

from monai_kd.handlers import History
from monai_kd.report import train_seconds


def trainer(values: dict[str, float]) -> Engine:
    """An engine whose metrics grow with the epoch."""
    engine = Engine(lambda engine, batch: None)

    @engine.on(Events.ITERATION_COMPLETED)
    def measure(engine):
        engine.state.metrics.update({k: v * engine.state.epoch for k, v in values.items()})

    return engine


def rows(folder) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_history_has_a_row_for_each_epoch(tmp_path):
    train, validate = trainer({"kd": 2.0, "kd_weighted": 8.0}), Engine(lambda engine, batch: None)
    validate.add_event_handler(
        Events.COMPLETED, lambda e: e.state.metrics.update(val_accuracy=torch.tensor(0.5), cm=torch.eye(2))
    )
    train.add_event_handler(Events.EPOCH_COMPLETED(every=2), lambda: validate.run([0]))
    History(tmp_path, validate).attach(train)
    train.run([0], max_epochs=3)
    assert rows(tmp_path) == [
        {"epoch": "1", "kd": "2.0", "val_accuracy": ""},
        {"epoch": "2", "kd": "4.0", "val_accuracy": "0.5"},
        {"epoch": "3", "kd": "6.0", "val_accuracy": ""},
    ]
    assert train_seconds(tmp_path) >= 0  # a number, of a run of no length
    assert json.loads((tmp_path / "training.json").read_text())["epochs"] == 3


def test_history_goes_on_after_a_restart(tmp_path):
    first = History(tmp_path / "a")
    engine = trainer({"kd": 1.0})
    first.attach(engine)
    engine.run([0], max_epochs=2)
    torch.save(first.state_dict() | {"seconds": 7.0}, tmp_path / "state.pt")
    second, engine = History(tmp_path / "b"), trainer({"kd": 1.0})
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    second.attach(engine)
    engine.state.epoch, engine.state.epoch_length, engine.state.max_epochs = 2, 1, 3
    engine.run([0], max_epochs=3)
    assert [row["epoch"] for row in rows(tmp_path / "b")] == ["1", "2", "3"]
    assert 7.0 <= train_seconds(tmp_path / "b") < 12.0


def test_the_time_of_every_epoch_counts_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_kd.handlers.history.time", SimpleNamespace(perf_counter=count(100, 10).__next__))
    history = History(tmp_path)
    for done in (2, 3):
        engine = trainer({"kd": 1.0})
        engine.state.epoch, engine.state.epoch_length, engine.state.max_epochs = len(history.rows), 1, done
        history.attach(engine)
        engine.run([0], max_epochs=done)
        assert train_seconds(tmp_path) == history.state_dict()["seconds"] == 10 * done
        state, history = history.state_dict(), History(tmp_path)
        history.load_state_dict(state)


def test_time_of_all_stages_of_a_run_is_added_up(tmp_path):
    for folder, seconds in ((tmp_path / "pretrain", 5.0), (tmp_path, 2.0)):
        engine, history = trainer({"kd": 1.0}), History(folder)
        history.load_state_dict({"rows": [], "seconds": seconds})  # as if so long
        history.attach(engine)
        engine.run([0], max_epochs=1)
    assert 7.0 <= train_seconds(tmp_path) < 9.0
    stage = tmp_path / "pretrain" / "training.json"
    stage.write_text(json.dumps(json.loads(stage.read_text()) | {"process": "of another run"}))
    assert 2.0 <= train_seconds(tmp_path) < 4.0


def test_history_of_a_rank_that_is_not_the_first_writes_nothing(tmp_path):
    engine = trainer({"kd": 1.0})
    engine.state.rank = 1
    History(tmp_path).attach(engine)
    engine.run([0], max_epochs=1)
    assert list(tmp_path.iterdir()) == [] and train_seconds(tmp_path) is None
