# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Events
from torch import nn

from monai_kd.networks import teachers_in
from monai_kd.utils import TeacherChangedError, state_hash, unwrap

__all__ = ["TeacherGuard"]


class TeacherGuard:
    """See that frozen teachers stay as they are, to the last bit, from the start of a run to each epoch's end.

    Their SHA-256 is logged at the start, so that it can be told later which weights taught. Teachers that are copies of
    the student (`Teacher.copy_of`) are meant to move and are not looked at.

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
    found: dict[str, nn.Module] = {}
    for name, network in networks.items():
        frozen = [teacher.network for teacher in teachers_in(network) if not teacher.copied]
        found |= {f"pass {name!r}" + (f", teacher {i}" if i else ""): unwrap(n) for i, n in enumerate(frozen)}
    once = {id(network): state_hash(network) for network in found.values()}  # one may teach in several passes
    return {name: once[id(network)] for name, network in found.items()}
