# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K7: a loss that is nan or infinite stops the run, and no weights that are not finite are written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from torch import Tensor, nn

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import Checkpoint, FinalModelSaver, FiniteLoss
from monai_kd.inferers import DistillationInferer, Pass
from monai_kd.losses import KDLoss, Objective
from monai_kd.networks import Teacher
from monai_kd.utils import NonFiniteError, check_finite, write_state
from tests.ranks import result, run_on_two_ranks

BAD = 5  # the iteration whose batch has a value that is none


def data(bad: float | None, length: int = 8) -> list[dict]:
    torch.manual_seed(0)
    batches = [{"image": torch.randn(4, 3), "case": [f"case{i}{j}" for j in range(4)]} for i in range(length)]
    if bad is not None:
        batches[BAD - 1]["image"][2, 1] = bad
    return batches


def build(folder: Path | None, batches: list[dict], loss: nn.Module | None = None, **given) -> DistillationTrainer:
    torch.manual_seed(1)
    student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    handlers = [] if folder is None else [Checkpoint(folder), FinalModelSaver(student, folder / "model.pt")]
    terms = {
        "good": {"loss": lambda z: z.square().mean().nan_to_num() * 0, "inputs": ["student"]},
        "kd": {"loss": loss or KDLoss(), "inputs": ["student", "teacher"]},
    }
    return DistillationTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=batches,
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.1),
        loss_function=Objective(terms),
        inferer=DistillationInferer({"student": {}, "teacher": {"network": Teacher(teacher)}}),
        train_handlers=handlers,
        **given,
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_run_stops_and_names_term_iteration_and_samples(tmp_path, bad):
    trainer = build(tmp_path, data(bad))
    with pytest.raises(NonFiniteError) as told:
        trainer.run()
    assert trainer.state.iteration == BAD
    text = str(told.value)
    assert "'kd' is nan" in text and "'good'" not in text and f"iteration {BAD}, epoch 1" in text
    assert "samples, by case: case40, case41, case42, case43" in text
    check_finite(trainer.network.state_dict())
    assert not list(tmp_path.glob("*.pt"))


def test_what_was_written_before_stays(tmp_path):
    build(tmp_path, data(None)).run()
    before = {path: path.read_bytes() for path in tmp_path.glob("*.pt")}
    with pytest.raises(NonFiniteError):
        build(tmp_path, data(float("nan"))).run()
    assert before and {path: path.read_bytes() for path in before} == before


def test_a_weighting_that_is_none_is_told_from_a_term(tmp_path):
    trainer = build(tmp_path, data(None))
    trainer.loss_function.weighting = lambda losses, knowledge: {"kd": torch.tensor(float("inf"))}
    with pytest.raises(NonFiniteError, match="the sum of terms is inf, though each is finite"):
        trainer.run()


@pytest.mark.parametrize(("every", "stopped"), [(1, 5), (3, 6), (100, 8)])
def test_where_looking_costs_it_is_done_less_often_but_before_a_checkpoint(tmp_path, every, stopped):
    trainer = build(tmp_path, data(float("nan")), guards=False)
    FiniteLoss(every).attach(trainer)
    with pytest.raises(NonFiniteError, match=f"iteration {BAD}, epoch 1.*case40"):
        trainer.run()
    assert trainer.state.iteration == stopped and not list(tmp_path.glob("*.pt"))


def test_a_run_hears_nothing_of_one_that_broke_off():
    def break_off(engine):
        raise ArithmeticError

    watch = FiniteLoss(every=100)
    broken, whole = (build(None, data(bad), guards=False) for bad in (float("nan"), None))
    for trainer in (broken, whole):
        watch.attach(trainer)
    broken.add_event_handler(Events.ITERATION_COMPLETED(once=BAD), break_off)
    with pytest.raises(ArithmeticError):
        broken.run()
    whole.run()
    assert whole.state.epoch == 2


def test_without_guards_nothing_stops_but_nothing_of_it_is_published(tmp_path):
    trainer = build(None, data(float("nan")), guards=False)
    trainer.run()
    assert not torch.isfinite(trainer.network.weight).all()
    with pytest.raises(NonFiniteError, match=r"model.pt: 2 of 2 tensors are not finite: weight, bias"):
        FinalModelSaver(trainer.network, tmp_path / "model.pt")(trainer)
    assert not (tmp_path / "model.pt").exists()


def test_an_empty_tensor_and_integers_are_finite():
    check_finite({"empty": torch.empty(0), "count": torch.tensor(3), "half": torch.ones(2, dtype=torch.float16)})
    with pytest.raises(NonFiniteError, match="1 of 1 tensors are not finite: half"):
        check_finite({"half": torch.tensor([6e4, float("inf")], dtype=torch.float16)})


def _on_rank(case: str, rank: int) -> dict[str, Tensor]:
    trainer = build(None, data(float("nan") if rank == 0 else None))
    try:
        trainer.run()
    except NonFiniteError as error:
        own = "another process" not in str(error)
        return {"iteration": torch.tensor(trainer.state.iteration), "own": torch.tensor(own)}
    return {}


@pytest.mark.slow
def test_all_processes_stop_at_once(tmp_path):
    run_on_two_ranks(_on_rank, ["nan"], tmp_path)
    first, second = result(tmp_path, "nan")
    assert first == {"iteration": torch.tensor(BAD), "own": torch.tensor(True)}
    assert second == {"iteration": torch.tensor(BAD), "own": torch.tensor(False)}


def test_a_checkpoint_of_weights_that_are_none_is_not_written(tmp_path):
    trainer = build(tmp_path, data(None))
    trainer.run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        trainer.network.bias[0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"checkpoint.pt, network: 1 of 2 tensors are not finite: bias"):
        Checkpoint(tmp_path).save(trainer)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    write_state(tmp_path / "other.pt", {"plain": torch.ones(1)})


def test_a_checkpoint_of_a_pass_that_has_learnt_what_is_no_number_is_not_written(tmp_path):
    trainer = build(None, data(None))
    trainer.inferer.passes["head"] = Pass("student", nn.BatchNorm1d(2))
    head = trainer.inferer.networks["head"]
    head.running_mean[0] = float("nan")  # as a memory marks what it has not seen
    Checkpoint(tmp_path, lock=False).save(trainer)
    (tmp_path / "checkpoint.pt").unlink()
    with torch.no_grad():
        head.bias[1] = float("nan")
    with pytest.raises(NonFiniteError, match=r"checkpoint.pt, passes.head: 1 of 2 tensors are not finite: bias"):
        Checkpoint(tmp_path, lock=False).save(trainer)
    assert list(tmp_path.iterdir()) == []
