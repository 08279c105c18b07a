# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from monai.engines import Trainer
from monai.handlers import LrScheduleHandler, StatsHandler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from monai_kd.engines.trainer import DistillationTrainer, trainable
from monai_kd.handlers import Checkpoint, History, TermLogger
from monai_kd.handlers.checkpoint import checkpoints_of
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.utils import ConfigError

__all__ = ["alternate", "stage"]


def stage(
    name: str,
    network: nn.Module,
    passes: Mapping[str, Any],
    terms: Mapping[str, Any],
    optimizer: Callable[[list[nn.Parameter]], Optimizer],
    train_data_loader: Iterable,
    max_epochs: int,
    device: str | torch.device,
    output_dir: str | os.PathLike,
    lr_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    train_handlers: Sequence = (),
    checkpoint: Mapping[str, Any] = MappingProxyType({}),
    pred: str | None = None,
    amp: bool = False,
    epoch_length: int | None = None,
) -> DistillationTrainer:
    """A trainer for a recipe's stage beside the bundle's own, with the handlers that each stage wants.

    These are `TermLogger`, `LrScheduleHandler` if there is a schedule, `train_handlers`, `History` in the folder `name`
    of `output_dir`, `StatsHandler` and a `Checkpoint` of its own, `name`.pt. Stages stand one after another in a
    bundle's `run:` list.

    Args:
        name: of the stage, in the log and of its files.
        network: what the stage trains.
        passes: as of `DistillationInferer`.
        terms: as of `Objective`.
        optimizer: makes the optimiser of the parameters that learn (:func:`trainable`); in YAML a `_target_` with
            `_mode_: callable`.
        train_data_loader: batches, as of `DistillationTrainer`.
        max_epochs: epochs of this stage.
        device: on which it trains.
        output_dir: folder of the whole run.
        lr_scheduler: makes the learning rate's schedule, stepped each epoch, of the optimiser.
        train_handlers: further handlers.
        checkpoint: further arguments of :class:`Checkpoint`: save_interval, resume, origin, ...
        pred: name in the knowledge published as the prediction, as of `DistillationTrainer`.
        amp: train in mixed precision.
        epoch_length: iterations of an epoch; the loader's by default.

    Raises:
        ConfigError: no parameter learns, or as of `DistillationInferer`, `Objective` and `DistillationTrainer`.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.engines import stage
        >>> head = torch.nn.Linear(4, 2)
        >>> trainer = stage(
        ...     "pretext", head, {"student": {}},
        ...     {"label": {"loss": torch.nn.CrossEntropyLoss(), "inputs": ["student", "label"]}},
        ...     lambda params: torch.optim.SGD(params, lr=0.1),
        ...     train_data_loader=[{"image": torch.ones(3, 4), "label": torch.tensor([0, 1, 0])}],
        ...     max_epochs=2, device="cpu", output_dir=tempfile.mkdtemp())
        >>> len(trainer.optimizer.param_groups[0]["params"])  # and `run: [$@pretext.run(), $@train::trainer.run()]`
        2
    """
    inferer, objective = DistillationInferer(passes), Objective(terms)
    learning = trainable(network, inferer)
    if not learning:
        raise ConfigError(
            "nothing in it learns", where=name, fix="give it a network with parameters that want a gradient"
        )
    stepped = optimizer(learning)
    schedule = [] if lr_scheduler is None else [LrScheduleHandler(lr_scheduler(stepped), print_lr=False)]  # type: ignore[arg-type]
    return DistillationTrainer(
        device=device,
        max_epochs=max_epochs,
        train_data_loader=train_data_loader,
        epoch_length=epoch_length,
        network=network,
        inferer=inferer,
        loss_function=objective,
        optimizer=stepped,
        train_handlers=[
            TermLogger(objective),
            *schedule,
            *train_handlers,
            History(Path(output_dir) / name),
            StatsHandler(name=name, iteration_log=False),
            Checkpoint(output_dir, f"{name}.pt", **checkpoint),
        ],
        pred=pred,
        amp=amp,
    )


def alternate(trainers: Sequence[Trainer], rounds: int, epochs_per_round: int | Sequence[int] = 1) -> None:
    """Let trainers take turns: in each round each runs `epochs_per_round` epochs further.

    Trainers in sequence need no function: they stand one after another in a bundle's `run:` list. Trainers with a
    `Checkpoint(resume=True)`, each with a file of its own, go on together where they were interrupted: all files are
    read before the first turn, and turns that are done are left out.

    Args:
        trainers: in the order of their turns; each goes on where it stopped, whatever `max_epochs` it was built with.
        rounds: how often each has its turn.
        epochs_per_round: epochs of a turn, one number or one per trainer.

    Raises:
        ConfigError: no trainers, or numbers that do not fit them.

    Example::

        >>> from monai_kd.engines import alternate
        >>> alternate([student_trainer, peer_trainer], rounds=10)  # doctest: +SKIP
    """
    epochs = [epochs_per_round] * len(trainers) if isinstance(epochs_per_round, int) else list(epochs_per_round)
    if not trainers or len(epochs) != len(trainers) or rounds < 1 or min(epochs) < 1:
        raise ConfigError(f"cannot alternate {len(trainers)} trainers, {rounds} rounds of {epochs} epochs")
    done = [trainer.state.epoch for trainer in trainers]
    for trainer, before, count in zip(trainers, done, epochs, strict=True):
        trainer.state.max_epochs = before + rounds * count
        for checkpoint in checkpoints_of(trainer):
            checkpoint.go_on(trainer)
    turns = [ceil((t.state.epoch - before) / n) for t, before, n in zip(trainers, done, epochs, strict=True)]
    last = max(range(len(trainers)), key=lambda i: (turns[i], i))
    for checkpoint in checkpoints_of(trainers[last]):
        if checkpoint.newest is not None and turns[last]:
            checkpoint.load(trainers[last])  # once more: the random numbers go on from the last turn
    for turn in range(1, rounds + 1):
        for trainer, before, count in zip(trainers, done, epochs, strict=True):
            if trainer.state.epoch < before + turn * count:
                trainer.state.max_epochs = before + turn * count
                trainer.run()
