# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
import shlex
import sys

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator

from monai_kd.data import History, Predictions, train_seconds, typed_command, write_run
from monai_kd.report import load_runs
from monai_kd.utils.errors import DataError


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
    assert 0 < train_seconds(tmp_path) < 5
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


def test_history_of_a_rank_that_is_not_the_first_writes_nothing(tmp_path):
    engine = trainer({"kd": 1.0})
    engine.state.rank = 1
    History(tmp_path).attach(engine)
    engine.run([0], max_epochs=1)
    assert list(tmp_path.iterdir()) == [] and train_seconds(tmp_path) is None


def test_predictions_are_the_softmax_of_every_case(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3)
    items = [{"image": torch.randn(4), "label": i % 3, "case": f"c{i}", "group": f"g{i // 2}"} for i in range(5)]
    loader, handlers = DataLoader(items, batch_size=2), [Predictions(tmp_path)]
    evaluator = SupervisedEvaluator("cpu", loader, network, val_handlers=handlers, decollate=False)
    evaluator.run()
    evaluator.run()  # a second run starts anew
    found = np.load(tmp_path / "predictions.npz")
    assert found["case"].tolist() == [f"c{i}" for i in range(5)] and found["group"][4] == "g2"
    assert found["label"].tolist() == [0, 1, 2, 0, 1]
    for i, item in enumerate(items):
        e = np.exp(network(item["image"]).double().detach().numpy())
        assert np.allclose(found["probability"][i], e / e.sum())
    with (tmp_path / "predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert lines[3]["case"] == "c3" and float(lines[3]["probability_1"]) == pytest.approx(
        found["probability"][3, 1], abs=1e-6
    )


@pytest.mark.parametrize(("decollate", "message"), [(False, "no key 'case'.*image, label"), (True, "decollate: false")])
def test_a_batch_without_cases_is_refused(tmp_path, decollate, message):
    loader, handlers = DataLoader([{"image": torch.zeros(4), "label": 0}]), [Predictions(tmp_path)]
    network = torch.nn.Linear(4, 3)
    evaluator = SupervisedEvaluator("cpu", loader, network, val_handlers=handlers, decollate=decollate)
    with pytest.raises(DataError, match=message):
        evaluator.run()


def test_a_report_reads_what_is_written(tmp_path):
    items = [{"image": torch.randn(4), "label": i % 2, "case": str(i)} for i in range(4)]
    loader, handlers = DataLoader(items, batch_size=4), [Predictions(tmp_path / "run")]
    SupervisedEvaluator("cpu", loader, torch.nn.Linear(4, 2), val_handlers=handlers, decollate=False).run()
    texts = dict.fromkeys(("title", "setting", "command", "data", "split"), "")
    costs = dict.fromkeys(("parameters", "flops", "latency_ms", "file_bytes", "train_seconds"))
    write_run(tmp_path / "run", {"role": "alone", "recipe": None, "seed": 1, **texts, **costs})
    (run,) = load_runs(tmp_path)
    assert run.seed == 1 and run.group.tolist() == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("argv", "start"),
    [
        (
            ["/x/site-packages/monai/bundle/__main__.py", "run", "--files", "['a', 'b']"],
            ["python", "-m", "monai.bundle"],
        ),
        (["/x/site-packages/monai_kd/__main__.py", "run", "kd"], ["python", "-m", "monai_kd"]),
        (["/x/bin/monai-kd", "run", "kd"], ["monai-kd"]),
    ],
)
def test_command_is_told_as_it_was_typed(monkeypatch, argv, start):
    monkeypatch.setattr(sys, "argv", argv)
    assert shlex.split(typed_command()) == [*start, *argv[1:]]
