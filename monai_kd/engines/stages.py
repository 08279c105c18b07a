# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from monai.engines import Trainer

from monai_kd.utils import ConfigError

__all__ = ["alternate"]


def alternate(trainers: Sequence[Trainer], rounds: int, epochs_per_round: int | Sequence[int] = 1) -> None:
    """Let trainers take turns: in each round each runs `epochs_per_round` epochs further.

    Trainers in sequence need no function: they stand one after another in a bundle's `run:` list.

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
    for _ in range(rounds):
        for trainer, count in zip(trainers, epochs, strict=True):
            trainer.state.max_epochs = trainer.state.epoch + count
            trainer.run()
