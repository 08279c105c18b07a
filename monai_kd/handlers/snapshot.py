# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from monai_kd.handlers.moving import MovingTeacher
from monai_kd.networks import Teacher, check_resettable, reset_parameters
from monai_kd.utils import ConfigError, broadcast, is_distributed, unwrap

__all__ = ["Snapshot"]


class Snapshot(MovingTeacher):
    """Every so many epochs the student's past self becomes the teacher: snapshot distillation, born-again networks.

    With `restart` the student is then drawn anew and its optimiser's state forgotten, so that a new generation learns
    from the last one. No snapshot is taken at the very end of the run: the student of the last generation stays.

    Args:
        teacher: from `Teacher.copy_of(student)`.
        student: the network that learns; wrappers are looked through.
        every: epochs between snapshots.
        restart: draw the student's weights anew after each snapshot.

    Raises:
        ConfigError: `every` is below 1.
        CheckpointError: with `restart`, a layer's parameters cannot be drawn anew; names it.

    Furlanello et al., Born-again neural networks, ICML 2018; Yang et al., Snapshot distillation, CVPR 2019.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import Snapshot
        >>> from monai_kd.networks import Teacher
        >>> student = torch.nn.Linear(4, 2)
        >>> snapshot = Snapshot(Teacher.copy_of(student), student, every=10, restart=True)
        >>> snapshot.state_dict()["generation"]
        0
    """

    def __init__(self, teacher: Teacher, student: nn.Module, every: int = 1, restart: bool = False) -> None:
        super().__init__(teacher, student)
        if every < 1:
            raise ConfigError(f"every must be at least 1 epoch, got {every}", where="Snapshot")
        if restart:
            check_resettable(unwrap(student))
        self.every, self.restart = every, restart
        self.generation = 0

    def attach(self, engine: Engine) -> None:
        """Take snapshots at the ends of `engine`'s epochs."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._turn)

    def _begin(self, engine: Engine) -> None:
        if engine.state.epoch == 1 and not self.resumed:
            self.copy()

    def _turn(self, engine: SupervisedTrainer) -> None:
        # at the start of the next generation's first epoch, so that validation and checkpoints of the last one are done
        done = engine.state.epoch - 1
        if done == 0 or done % self.every or done // self.every == self.generation:
            return
        self.copy()
        self.generation = done // self.every
        if self.restart:
            student = unwrap(self.student)
            reset_parameters(student)
            if is_distributed():
                broadcast(*student.parameters(), *student.buffers())
            engine.optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights and the generation."""
        return {**super().state_dict(), "generation": self.generation}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict(state)
        self.generation = int(state["generation"])
