# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K2: for every recipe, two epochs and two more are four epochs, to the last bit; with workers that draw, too."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised
from torch import Tensor

from monai_kd.engines import DistillationTrainer
from monai_kd.handlers import Checkpoint
from monai_kd.networks import teachers_in
from monai_kd.recipes import list_recipes, load_recipe
from tests.faults.children import start
from tests.nets import Classifier, images
from tests.recipes.test_recipes import SIDES, apply, batches, dense, network

INFO = {recipe.id: recipe.info for recipe in list_recipes()}
KINDS = list({(info["scheme"], info["knowledge"], info["role"]): name for name, info in INFO.items()}.values())
EVERY = [pytest.param(name, marks=[] if name in KINDS else pytest.mark.slow) for name in INFO]


def run(
    name: str, folder: Path, epochs: int, resume: bool = False, kill: tuple[int, Callable] | None = None
) -> tuple[dict[str, Tensor], list[float]]:
    """Everything that learnt or was remembered, and the losses, as a process of its own would have them."""
    torch.manual_seed(3)
    student, teacher = (network(2, width, dense(name)) for width in (2, 4))
    method, data = apply(name, 2, student, teacher), batches(2, dense(name), SIDES.get(name))
    losses: list[float] = []
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=data,
        network=student,
        optimizer=torch.optim.Adam(method.parameters, lr=0.003),
        loss_function=method.objective,
        inferer=method.inferer,
        train_handlers=[*method.handlers, Checkpoint(folder, resume=resume)],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))
    if kill:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=kill[0]), kill[1])
    torch.manual_seed(99 if resume else 5)  # what a new process starts with must not matter
    trainer.run()
    parts = {"student": student, **method.inferer.networks}
    for key, part in list(parts.items()):
        parts |= {f"{key}, teacher {i}": held.network for i, held in enumerate(teachers_in(part))}
    state = {f"{key}.{k}": v for key, part in parts.items() for k, v in part.state_dict().items()}
    for i, slot in trainer.optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{i}.{k}": v for k, v in slot.items()}
    return state, losses


@pytest.mark.parametrize("name", EVERY)
def test_stopping_and_going_on_differs_by_exactly_nothing(name, tmp_path):
    whole, losses = run(name, tmp_path / "whole", 4)
    _, first = run(name, tmp_path / "parts", 2)
    rest, second = run(name, tmp_path / "parts", 4, resume=True)
    assert len(second) == 4 and losses == first + second
    assert whole.keys() == rest.keys()
    apart = {
        key: float((whole[key].double() - value.double()).abs().max()) for key, value in rest.items() if value.numel()
    }
    assert {key: gap for key, gap in apart.items() if gap} == {}


def loaded(folder: Path, epochs: int, workers: int, resume: bool = False) -> tuple[dict[str, Tensor], list[float]]:
    torch.manual_seed(3)
    student, teacher, losses = Classifier(dropout=0.5), Classifier(width=3), []
    method = load_recipe("kd")(student, teacher)
    items = [{"image": x, "label": torch.tensor(i % 3)} for i, x in enumerate(images(12))]
    noise = Compose([RandGaussianNoised(keys="image", prob=0.5)])
    torch.manual_seed(99 if resume else 5)
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items, noise), batch_size=4, shuffle=True, num_workers=workers),
        network=student,
        optimizer=torch.optim.Adam(method.parameters, lr=0.01),
        loss_function=method.objective,
        inferer=method.inferer,
        train_handlers=[Checkpoint(folder, resume=resume)],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))
    trainer.run()
    return student.state_dict(), losses


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_draw_what_they_would_have_drawn(workers, tmp_path):
    whole, losses = loaded(tmp_path / "whole", 4, workers)
    _, first = loaded(tmp_path / "parts", 2, workers)
    rest, second = loaded(tmp_path / "parts", 4, workers, resume=True)
    assert losses == first + second and len(set(losses)) == len(losses)
    assert all(whole[key].equal(value) for key, value in rest.items())


def killed(name: str, folder: Path, at: int) -> None:
    """Train in this process until it is killed in the middle of an epoch."""
    torch.set_num_threads(1)

    def kill(engine: DistillationTrainer) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    run(name, folder, 4, kill=(at, kill))


@pytest.mark.parametrize(("at", "epochs"), [(3, 1), (5, 2), (7, 3)])
def test_a_run_that_is_killed_amid_an_epoch_goes_on_from_the_last_whole_one(at, epochs, tmp_path):
    whole, losses = run("crckd", tmp_path / "whole", 4)
    process = start(killed, "crckd", tmp_path / "parts", at)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    rest, second = run("crckd", tmp_path / "parts", 4, resume=True)
    assert second == losses[2 * epochs :]  # two iterations an epoch
    assert all(whole[key].equal(value) for key, value in rest.items())
