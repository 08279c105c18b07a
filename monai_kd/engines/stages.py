# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from monai.engines import Trainer

from monai_kd.handlers.checkpoint import checkpoints_of
from monai_kd.utils import ConfigError

__all__ = ["alternate"]


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
