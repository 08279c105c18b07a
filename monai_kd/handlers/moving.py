# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.networks import Teacher
from monai_kd.utils import ConfigError, unwrap

__all__ = ["MovingTeacher"]


class MovingTeacher:
    """A handler that moves a teacher made by `Teacher.copy_of`, and owns its state in the checkpoint.

    Args:
        teacher: from `Teacher.copy_of(student)`.
        student: the network it follows; wrappers are looked through.

    Raises:
        ConfigError: the teacher shares the student's parameters, or its weights do not match the student's.
    """

    def __init__(self, teacher: Teacher, student: nn.Module) -> None:
        self.teacher, self.student = teacher, student
        self.resumed = False
        name = type(self).__name__
        if not isinstance(teacher, Teacher) or not teacher.copied:
            raise ConfigError("the teacher must come from Teacher.copy_of(student)", where=name)
        theirs = {k: v.shape for k, v in unwrap(student).state_dict().items() if isinstance(v, Tensor)}
        mine = {k: v.shape for k, v in teacher.network.state_dict().items() if isinstance(v, Tensor)}
        own = {id(p) for p in unwrap(student).parameters()}
        if any(id(p) in own for p in teacher.network.parameters()):
            raise ConfigError("the teacher shares the student's parameters", where=name, fix="Teacher.copy_of(student)")
        if mine != theirs:
            raise ConfigError("the teacher is not a copy of this student", where=name, fix="Teacher.copy_of(student)")

    def _pairs(self, which: Callable[[nn.Module], Iterable[Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        """The teacher's tensors and the student's, in the same order."""
        return list(which(self.teacher.network)), [t.detach() for t in which(unwrap(self.student))]

    @torch.no_grad()
    def copy(self) -> None:
        """Make the teacher equal to the student, buffers included."""
        for which in (nn.Module.parameters, nn.Module.buffers):
            for mine, its in zip(*self._pairs(which), strict=True):
                mine.copy_(its)

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights."""
        return {"teacher": self.teacher.network.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.teacher.network.load_state_dict(state["teacher"])
        self.resumed = True
