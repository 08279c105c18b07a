# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
import re

import pytest
import torch
from ignite.engine import Events
from monai.handlers import MLFlowHandler, StatsHandler, TensorBoardStatsHandler

from monai_kd.handlers import TermLogger, Weights
from monai_kd.networks import Teacher
from monai_kd.utils import step
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer

TERMS = {"label": LABEL, "mimic": {**MIMIC, "weight": 0.25}}


class Writer:
    """Keeps what a TensorBoard writer would write."""

    def __init__(self):
        self.written: dict[str, list] = {}

    def add_scalar(self, name, value, step):
        self.written.setdefault(name, []).append((step, value))

    def flush(self):
        pass


class Lines(logging.Handler):
    """Keeps what is printed."""

    def __init__(self):
        super().__init__()
        self.printed: list[str] = []

    def emit(self, record):
        self.printed.append(record.getMessage())


class Values:
    """Notes every term's value at every iteration, for the means by hand."""

    def __init__(self):
        self.raw: dict[tuple[int, str], list[float]] = {}

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)

    def note(self, engine):
        for name, value in engine.loss_function.values.items():
            self.raw.setdefault((engine.state.epoch, name), []).append(value.item())

    def mean(self, epoch, name):
        values = self.raw[epoch, name]
        return sum(values) / len(values)


def trainer_of(terms=TERMS, epochs: int = 2, count: int = 3, prefix: str = "", **kwargs):
    passes = {"teacher": {"network": Teacher(Classifier())}}
    trainer = make_trainer(Classifier(), passes, terms, batches(count), epochs, **kwargs)
    return trainer, TermLogger(trainer.loss_function, prefix), Values()


def attach(trainer, *handlers) -> None:
    for handler in handlers:
        handler.attach(trainer)


def test_metrics_are_the_means_by_hand():
    trainer, logger, values = trainer_of()
    attach(trainer, values, logger)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: epochs.append(dict(e.state.metrics)))
    trainer.run()
    for epoch, metrics in enumerate(epochs, start=1):
        assert set(metrics) == {"label", "label_weighted", "mimic", "mimic_weighted"}
        assert metrics["label"] == metrics["label_weighted"] == pytest.approx(values.mean(epoch, "label"))
        assert metrics["mimic"] == pytest.approx(values.mean(epoch, "mimic"))
        assert metrics["mimic_weighted"] == pytest.approx(0.25 * values.mean(epoch, "mimic"))
        assert all(type(value) is float for value in metrics.values())


def test_a_prefix_is_put_before_the_names():
    trainer, logger, _ = trainer_of(prefix="train/")
    attach(trainer, logger)
    trainer.run()
    assert set(trainer.state.metrics) == {f"train/{name}{s}" for name in TERMS for s in ("", "_weighted")}


@pytest.mark.parametrize("first", [True, False])
def test_stats_handler_prints_the_figures_in_whatever_order_the_handlers_stand(first):
    trainer, logger, values = trainer_of()
    stats, lines = StatsHandler(name="tests.stats", output_transform=lambda _: None, iteration_log=False), Lines()
    attach(trainer, values, *([logger, stats] if first else [stats, logger]))
    stats.logger.addHandler(lines)
    trainer.run()
    stats.logger.removeHandler(lines)
    found = [dict(re.findall(r"(\w+): (-?[\d.]+)", line)) for line in lines.printed if "Metrics" in line]
    assert [f.keys() for f in found] == [{"label", "label_weighted", "mimic", "mimic_weighted"}] * 2
    for epoch, figures in enumerate(found, start=1):
        assert float(figures["label"]) == pytest.approx(values.mean(epoch, "label"), abs=1e-4)
        assert float(figures["mimic"]) == pytest.approx(values.mean(epoch, "mimic"), abs=1e-4)
        assert float(figures["mimic_weighted"]) == pytest.approx(0.25 * values.mean(epoch, "mimic"), abs=1e-4)


@pytest.mark.parametrize("first", [True, False])
def test_tensor_board_stats_handler_stores_the_figures_in_whatever_order_the_handlers_stand(first):
    trainer, logger, values = trainer_of()
    writer = Writer()
    board = TensorBoardStatsHandler(summary_writer=writer, iteration_log=False)
    attach(trainer, values, *([logger, board] if first else [board, logger]))
    trainer.run()
    for name, weight in (("label", 1.0), ("mimic", 0.25)):
        assert [epoch for epoch, _ in writer.written[name]] == [1, 2]
        for epoch, value in writer.written[name]:
            assert value == pytest.approx(values.mean(epoch, name))
        for epoch, value in writer.written[f"{name}_weighted"]:
            assert value == pytest.approx(weight * values.mean(epoch, name))


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_mlflow_handler_stores_the_figures_in_whatever_order_the_handlers_stand(first, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    trainer, logger, values = trainer_of()
    store = f"sqlite:///{tmp_path}/mlruns.db"
    flow = MLFlowHandler(tracking_uri=store, output_transform=lambda _: 0.0, iteration_log=False)
    attach(trainer, values, *([logger, flow] if first else [flow, logger]))
    trainer.run()
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    for name, weight in (("label", 1.0), ("mimic_weighted", 0.25)):
        stored = client.get_metric_history(run.info.run_id, name)
        assert [metric.step for metric in stored] == [1, 2]
        for metric in stored:
            assert metric.value == pytest.approx(weight * values.mean(metric.step, name.removesuffix("_weighted")))


def test_a_term_counts_only_the_steps_at_which_it_was_on():
    trainer, logger, values = trainer_of(epochs=1, count=4)
    attach(trainer, values, logger)

    @trainer.on(Events.ITERATION_STARTED)
    def switch(engine):
        engine.loss_function.term("mimic").weight = 0.5 if engine.state.iteration in (2, 3) else 0.0

    trainer.run()
    assert len(values.raw[1, "label"]) == 4
    mimic = values.raw[1, "mimic"][1:3] if len(values.raw[1, "mimic"]) == 4 else values.raw[1, "mimic"]
    assert len(mimic) == 2 and trainer.state.metrics["mimic"] == pytest.approx(sum(mimic) / 2)
    assert trainer.state.metrics["mimic_weighted"] == pytest.approx(0.5 * sum(mimic) / 2)


def test_a_term_that_was_off_for_a_whole_epoch_has_no_figure_of_an_earlier_one():
    trainer, logger, _ = trainer_of(epochs=4)
    attach(trainer, Weights(trainer.loss_function, {"mimic": lambda t: float(t % 2)}), logger)
    epochs = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: epochs.append("mimic" in e.state.metrics))
    trainer.run()
    assert epochs == [False, True, False, True]


def test_metrics_of_others_stay():
    trainer, logger, _ = trainer_of(epochs=2)
    attach(trainer, Weights(trainer.loss_function, {"mimic": step(1, before=1.0, after=0.0)}), logger)
    trainer.state.metrics["accuracy"] = 0.5
    trainer.run()
    assert trainer.state.metrics["accuracy"] == 0.5


def test_a_loader_without_a_length_is_logged_too():
    trainer, logger, values = trainer_of(epochs=1)
    data = trainer.data_loader
    trainer.data_loader, trainer.state.epoch_length = iter(data), None
    attach(trainer, values, logger)
    trainer.run()
    assert trainer.state.metrics["mimic"] == pytest.approx(values.mean(1, "mimic"))


def test_an_epoch_that_is_cut_short_is_logged_and_does_not_reach_into_the_next():
    trainer, logger, values = trainer_of(epochs=2)
    attach(trainer, values, logger)
    epochs = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda e: e.terminate_epoch())
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: epochs.append(e.state.metrics["mimic"]))
    trainer.run()
    assert epochs == pytest.approx([values.mean(1, "mimic"), values.mean(2, "mimic")])


def test_accumulated_batches_count_each():
    trainer, logger, values = trainer_of(epochs=1, count=4, accumulation_steps=2)
    attach(trainer, values, logger)
    trainer.run()
    assert len(values.raw[1, "mimic"]) == 4
    assert trainer.state.metrics["mimic"] == pytest.approx(values.mean(1, "mimic"))


def test_steps_are_summed_as_tensors_and_read_once_an_epoch(monkeypatch):
    reads = []
    for name in ("item", "tolist", "__float__"):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, f=original, n=name: reads.append(n) or f(self))
    trainer, logger, _ = trainer_of(epochs=3, count=5)
    for _ in range(5):
        trainer.loss_function(
            {"student": torch.ones(2, 3), "teacher": torch.zeros(2, 3)}, {"label": torch.tensor([0, 1])}
        )
        logger.note()
    assert reads == []
    logger.means()
    assert reads == ["tolist"]
