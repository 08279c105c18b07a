# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_kd.networks import Teacher, TeacherEnsemble, teachers_in
from monai_kd.networks.teacher import frozen_teachers
from monai_kd.utils import TeacherChangedError, state_hash

__all__ = ["TeacherGuard"]


class TeacherGuard:
    """See that frozen teachers stay as they are, to the last bit, from the start of a run to each epoch's end.

    Their SHA-256 is logged at the start, so that it can be told later which weights taught. Teachers that are copies of
    the student (`Teacher.copy_of`) are meant to move and are not looked at.

    In the first iteration a warning is logged of a teacher that answers the same to every sample, and at every place,
    of a batch whose samples differ: it has nothing to teach. Later iterations are not looked at.

    Raises:
        TeacherChangedError: a parameter or a buffer changed; names the teacher.

    Example::

        >>> from monai_kd.handlers import TeacherGuard
        >>> TeacherGuard().expected  # a `DistillationTrainer` has one by itself
        {}
    """

    def __init__(self) -> None:
        self.expected: dict[str, str] = {}

    def attach(self, engine: Any) -> None:
        """Watch the runs of `engine`, a `DistillationTrainer`."""
        engine.add_event_handler(Events.STARTED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)
        engine.add_event_handler(Events.STARTED, self._wait)

    def _wait(self, engine: Any) -> None:
        if not engine.has_event_handler(self._look, IterationEvents.LOSS_COMPLETED):  # left by a run that broke off
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._look)

    def _look(self, engine: Any) -> None:
        """Look at the first answers of the run, and never again."""
        engine.remove_event_handler(self._look, IterationEvents.LOSS_COMPLETED)
        if getattr(engine.state, "rank", 0):
            return
        for name, answers in _answers(engine).items():
            if answers and all(map(_is_constant, answers)):
                what = "the teacher answers the same to every sample and at every place of the first batch"
                fix = "are these its weights, and does it see images as it was trained on?"
                logging.getLogger(__name__).warning("pass %r: %s: it has nothing to teach; %s", name, what, fix)

    def _note(self, engine: Any) -> None:
        self.expected = _hashes(engine.inferer.networks)
        for name, value in self.expected.items():
            logging.getLogger(__name__).info("%s: SHA-256 %s", name, value)

    def _compare(self, engine: Any) -> None:
        for name, value in _hashes(engine.inferer.networks).items():
            if value != self.expected.get(name, value):
                before, epoch = self.expected[name], engine.state.epoch
                why = f"SHA-256 {before[:12]} when the run started, {value[:12]} after epoch {epoch}"
                fix = "something writes into its weights: a handler, an optimiser, BatchNorm in train mode"
                raise TeacherChangedError("the frozen teacher has changed", where=name, why=why, fix=fix)


def _hashes(networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """The SHA-256 of every frozen teacher, by its pass."""
    found = frozen_teachers(networks)
    once = {id(network): state_hash(network) for network in found.values()}  # one may teach in several passes
    return {name: once[id(network)] for name, network in found.items()}


def _answers(engine: Any) -> dict[str, list[Tensor]]:
    """What is asked of the output of each frozen teacher, by pass, where the samples it sees differ."""
    found: dict[str, list[Tensor]] = {}
    wanted = engine.inferer.wanted({*engine.loss_function.needs(), engine.pred})
    for name, one in engine.inferer.passes.items():
        if not isinstance(one.network, (Teacher, TeacherEnsemble)) or name not in wanted:
            continue
        if any(teacher.copied for teacher in teachers_in(one.network)) or not _differ(_seen(engine, one.keys)):
            continue
        asked = [key for key in sorted(wanted[name]) if key[len(name) + 1 :].split(".")[0] not in one.taps]
        found[name] = [engine.state.knowledge[key] for key in asked if key in engine.state.knowledge]
    return found


def _seen(engine: Any, keys: tuple[str, ...]) -> list[Any]:
    """What a pass read of the batch, as far as it can be looked up."""
    batch = engine.state.batch
    return [batch.get(key) for key in keys] if isinstance(batch, Mapping) else [engine.state.output.get(Keys.IMAGE)]


def _differ(seen: list[Any]) -> bool:
    """Whether not all samples are one; what is no tensor is taken to differ."""
    tensors = [value for value in seen if isinstance(value, Tensor)]
    return not tensors or any(len(value) > 1 and bool((value != value[:1]).any()) for value in tensors)


def _is_constant(answer: Tensor) -> bool:
    """Whether all samples and places [N, C, *spatial] got one answer, but for rounding."""
    if not isinstance(answer, Tensor) or not answer.is_floating_point() or answer.ndim == 0 or len(answer) < 2:
        return False
    rows = answer.detach().float()
    rows = rows.movedim(1, -1).flatten(0, -2) if rows.ndim > 1 else rows[:, None]
    spread = (rows.amax(0) - rows.amin(0)).max()
    return bool(spread <= 8 * torch.finfo(answer.dtype).eps * rows.abs().max())
