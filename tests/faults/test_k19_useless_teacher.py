# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K19: a run warns of a teacher that has nothing to teach; the page says where one is no better than the student."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Accuracy
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler, from_engine
from torch import nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import FinalModelSaver, ValidationScore
from monai_kd.inferers import DistillationInferer, Pass
from monai_kd.losses import KDLoss, Objective
from monai_kd.networks import Teacher, TeacherEnsemble, load_weights
from monai_kd.report import load_runs, write_report
from monai_kd.report.results import rows_of
from tests.report.conftest import RunFactory

WARNING = "A teacher is no better than the student alone"
CONSTANT = "answers the same to every sample"


def dead(*layers: nn.Module) -> nn.Module:
    """A network whose answer is the bias of its last layer: logits that are the same wherever it looks."""
    network = nn.Sequential(*layers)
    nn.init.zeros_(network[-1].weight)
    nn.init.normal_(network[-1].bias)
    return network


def trainer(teacher: nn.Module | None, images: list, student: nn.Module, handlers: list | None = None, **given):
    passes = {"student": {}} if teacher is None else {"student": {}, "teacher": {"network": teacher}}
    kd = {"kd": {"loss": KDLoss(), "inputs": ["student", "teacher"]}}
    own = {"own": {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"]}}
    return DistillationTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=[{"image": image, "label": torch.zeros(len(image), dtype=torch.long)} for image in images],
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.01),
        loss_function=Objective(own if teacher is None else kd),
        inferer=DistillationInferer(passes),
        train_handlers=handlers,
        **given,
    )


@pytest.mark.parametrize("wrap", [Teacher, lambda network: TeacherEnsemble([network, network])])
@pytest.mark.parametrize("spatial", [(), (8, 6)])
def test_a_teacher_of_constant_answers_is_told_once(caplog, wrap, spatial):
    torch.manual_seed(0)
    if spatial:
        teacher, student = dead(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)), nn.Conv2d(3, 2, 3)
    else:
        teacher, student = dead(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Linear(3, 2)
    run = trainer(wrap(teacher), [torch.randn(4, 3, *spatial) for _ in range(3)], student)
    run.run()
    assert caplog.text.count(CONSTANT) == 1 and "pass 'teacher': the teacher answers" in caplog.text


@pytest.mark.parametrize(
    ("teacher", "image"),
    [
        (nn.Linear(3, 2), torch.randn(2, 3)),  # as it is drawn: bad, and not constant
        (nn.Linear(3, 2), torch.ones(4, 3)),  # one sample, four times
        (dead(nn.Linear(3, 2)), torch.randn(1, 3)),  # nothing to compare with
        (nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), torch.randn(4, 3)),
    ],
)
def test_other_teachers_are_not(caplog, teacher, image):
    trainer(Teacher(teacher), [image], nn.Linear(3, 2)).run()
    assert CONSTANT not in caplog.text


def test_rounding_is_not_an_answer(caplog):
    teacher = dead(nn.Linear(3, 2))
    with torch.no_grad():
        teacher[0].weight.fill_(1e-9)
    trainer(Teacher(teacher), [torch.randn(4, 3)], nn.Linear(3, 2)).run()
    assert CONSTANT in caplog.text


@pytest.mark.parametrize(
    ("rank", "tap", "terms", "told"),
    [(0, "0", ["kd", "hint"], True), (1, "0", ["kd", "hint"], False), (0, "1", ["hint"], False)],
)
def test_answers_count_not_taps_and_one_process_tells(caplog, rank, tap, terms, told):
    inputs = {"kd": ["student", "teacher"], "hint": ["student", "teacher.hint"]}
    run = trainer(Teacher(dead(nn.Linear(3, 2), nn.Linear(2, 2))), [torch.randn(4, 3)], nn.Linear(3, 2))
    run.inferer.passes["teacher"] = Pass(network=run.inferer.networks["teacher"], taps={"hint": tap})
    run.loss_function = Objective({term: {"loss": nn.MSELoss(), "inputs": inputs[term]} for term in terms})
    run.state.rank = rank
    run.run()
    assert (CONSTANT in caplog.text) == told


def test_copies_of_the_student_and_runs_without_guards_are_not_looked_at(caplog):
    student = dead(nn.Linear(3, 2))
    trainer(Teacher.copy_of(student), [torch.randn(4, 3)], student).run()
    trainer(Teacher(dead(nn.Linear(3, 2))), [torch.randn(4, 3)], nn.Linear(3, 2), guards=False).run()
    assert CONSTANT not in caplog.text


def test_only_the_first_iteration_is_looked_at_in_each_run(caplog):
    run = trainer(Teacher(dead(nn.Linear(3, 2))), [torch.randn(4, 3)] * 3, nn.Linear(3, 2))
    before = {event: len(found) for event, found in run._event_handlers.items()}
    run.run()
    assert {event: len(run._event_handlers[event]) for event in before} == before
    run.run()
    assert caplog.text.count(CONSTANT) == 2


class Sign(nn.Module):
    """Right of `share` of the validation's samples, whatever is learnt."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.scale = share, nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        right = (image[:, :1] < self.share).float() * self.scale.abs()
        return torch.cat([right, 0.5 - 0 * right], 1)


def train(path: Path, share: float, teacher: nn.Module | None = None) -> Path:
    """Train a network that is right as often as told, with a validation after each epoch."""
    network = Sign(share)
    items = [{"image": torch.tensor([[i / 10]]), "label": torch.tensor([0])} for i in range(10)]
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=items,
        network=network,
        key_val_metric={"val_accuracy": Accuracy(output_transform=from_engine(["pred", "label"]))},
        decollate=False,
    )
    handlers = [
        ValidationHandler(interval=1, validator=evaluator),
        FinalModelSaver(network, path),
        ValidationScore(path, evaluator, floor=0.5),
    ]
    trainer(teacher, [torch.arange(10).reshape(-1, 1) / 10], network, handlers).run()
    return path


def taught(folder: Path, teacher: float, student: float) -> None:
    weights = train(folder / "teacher" / "model.pt", teacher)
    train(folder / "models" / "model.pt", student, Teacher(load_weights(Sign(teacher), weights)))


def test_the_score_lies_beside_the_weights_it_is_of(tmp_path):
    train(tmp_path / "model.pt", 0.7)
    score = json.loads((tmp_path / "model.score.json").read_text())
    assert (score["metric"], score["best"]) == ("val_accuracy", pytest.approx(0.7))


def test_the_best_epoch_counts_not_the_last(tmp_path):
    evaluator, values = Engine(lambda *_: None), iter([float("nan"), 0.4, 0.8, 0.6])
    evaluator.state.key_metric_name = "val_accuracy"
    evaluator.add_event_handler(Events.STARTED, lambda e: e.state.metrics.update(val_accuracy=next(values)))
    (tmp_path / "model.pt").write_bytes(b"weights")
    score = ValidationScore(tmp_path / "model.pt", evaluator, floor=0.5)
    run = trainer(None, [torch.randn(4, 3)], nn.Linear(3, 2), [score])
    run.add_event_handler(Events.ITERATION_COMPLETED, lambda _: [evaluator.run([0]) for _ in range(2)])
    run.run()
    assert json.loads((tmp_path / "model.score.json").read_text())["best"] == 0.8


@pytest.mark.parametrize(
    ("teacher", "student", "start", "end"),
    [(0.5, 0.4, True, False), (0.3, 0.7, True, True), (0.7, 0.7, False, True), (0.9, 0.7, False, False)],
)
def test_a_run_warns_of_a_teacher_of_little_use(tmp_path, caplog, teacher, student, start, end):
    taught(tmp_path, teacher, student)
    best = f"pass 'teacher': the teacher's best val_accuracy was {teacher:.3f}"
    assert caplog.text.count(f"{best}, no more than 0.500") == start
    assert caplog.text.count(f"{best}, the student's is {student:.3f}") == end


def test_nothing_is_said_of_other_weights_or_another_metric(tmp_path, caplog):
    weights = train(tmp_path / "model.pt", 0.3)
    score = json.loads((tmp_path / "model.score.json").read_text())
    for changed in ({"sha256": 64 * "0"}, {"metric": "val_auc"}):
        (tmp_path / "model.score.json").write_text(json.dumps({**score, **changed}))
        train(tmp_path / "student.pt", 0.7, Teacher(load_weights(Sign(0.3), weights)))
    (tmp_path / "model.score.json").unlink()
    train(tmp_path / "student.pt", 0.7, Teacher(load_weights(Sign(0.3), weights)))
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("teacher", "warned"), [(0.3, True), (0.95, False)])
def test_a_weak_teacher_is_named_with_its_figure(tmp_path, teacher, warned):
    (tmp_path / "runs").mkdir()
    make = RunFactory(tmp_path / "runs")
    make("teacher", right=teacher, setting="")
    for seed in (0, 1):
        make("alone", seed)
        make("distilled", seed)
    page = write_report(tmp_path / "runs", tmp_path / "page.html", resamples=20).read_text()
    assert (WARNING in page) == warned
    if warned:
        means = {row.role: row.scores["balanced_accuracy"].mean for row in rows_of(load_runs(tmp_path / "runs"), 20)}
        assert f"{means['teacher']:.3f} and {means['alone']:.3f} in balanced accuracy" in page
