# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.utils import look_up_option
from torch import nn
from torch.utils.hooks import RemovableHandle

from monai_kd.handlers.moving import MovingTeacher
from monai_kd.networks import Teacher

__all__ = ["EMA"]


class EMA(MovingTeacher):
    """Move a teacher after every optimiser step to the exponential moving average of the student: the mean teacher.

    .. math:: w_t \\leftarrow a_n w_t + (1 - a_n) w_s, \\quad a_n = \\min(1 - 1/(n + 1), \\text{momentum})

    with n the number of steps done before, so that step 0 copies the student. It counts optimiser steps, not
    iterations: it is exact under gradient accumulation and when a scaler skips a step. When a run starts anew, the
    teacher is first made a copy of the student, after every loader has run.

    Args:
        teacher: from `Teacher.copy_of(student)`.
        student: the network that learns; wrappers are looked through.
        momentum: the ceiling of a_n.
        warmup: without it a_n is `momentum` from the start.
        buffers: what happens to buffers (BatchNorm statistics): "copy" the student's, "average" those in floating
            point like weights, or "keep" the teacher's own (with `train_mode=True` it gathers its own).

    Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import EMA
        >>> from monai_kd.networks import Teacher
        >>> student = torch.nn.Linear(4, 2)
        >>> ema = EMA(Teacher.copy_of(student), student, momentum=0.99)
        >>> ema.factor(0), ema.factor(1), ema.factor(1000)
        (0.0, 0.5, 0.99)
    """

    def __init__(
        self, teacher: Teacher, student: nn.Module, momentum: float = 0.99, warmup: bool = True, buffers: str = "copy"
    ) -> None:
        super().__init__(teacher, student)
        self.momentum, self.warmup = momentum, warmup
        self.buffers = look_up_option(buffers, ("copy", "average", "keep"))
        self.steps = 0
        self._handle: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Follow `engine`'s optimiser while it runs."""
        engine.add_event_handler(Events.STARTED, self._follow)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.COMPLETED, self._leave)

    def factor(self, n: int) -> float:
        """a_n."""
        return min(1 - 1 / (n + 1), self.momentum) if self.warmup else self.momentum

    @torch.no_grad()
    def update(self, *_: Any) -> None:
        """Take one step toward the student."""
        a = self.factor(self.steps)
        own, new = self._pairs(nn.Module.parameters)
        torch._foreach_lerp_(own, new, 1 - a)
        if self.buffers != "keep":
            for mine, its in zip(*self._pairs(nn.Module.buffers), strict=True):
                if self.buffers == "average" and mine.is_floating_point():
                    mine.lerp_(its, 1 - a)
                else:
                    mine.copy_(its)
        self.steps += 1

    def _follow(self, engine: SupervisedTrainer) -> None:
        self._leave()
        self._handle = engine.optimizer.register_step_post_hook(self.update)

    def _begin(self) -> None:
        if self.steps == 0 and not self.resumed:
            self.copy()

    def _leave(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights and the number of steps done."""
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict(state)
        self.steps = int(state["steps"])
