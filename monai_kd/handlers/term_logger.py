# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_kd.losses import Objective

__all__ = ["TermLogger"]


class TermLogger:
    """Put each term's mean over the epoch into `engine.state.metrics`, raw and weighted.

    From there `StatsHandler`, `TensorBoardStatsHandler` and `MLFlowHandler` print and store them with the epoch's
    other metrics; nothing has to be configured. The sums stay on the device, one transfer an epoch. They are ready
    before any EPOCH_COMPLETED handler runs, in whatever order the handlers stand. A term that was off at a step counts
    neither in its sum nor in its number.

    Args:
        objective: whose terms.
        prefix: put before the names: `prefix + "kd"` and `prefix + "kd_weighted"`.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import TermLogger
        >>> from monai_kd.losses import Objective
        >>> objective = Objective({"kd": {"loss": torch.nn.MSELoss(), "inputs": ["student", "teacher"], "weight": 2}})
        >>> _ = objective({"student": torch.ones(2), "teacher": torch.zeros(2)})
        >>> logger = TermLogger(objective); logger.note(); logger.means()
        {'kd': 1.0, 'kd_weighted': 2.0}
    """

    def __init__(self, objective: Objective, prefix: str = "") -> None:
        self.objective, self.prefix = objective, prefix
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.steps = 0
        self.published: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Note every iteration of `engine`, publish at the last of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _begin(self) -> None:
        self.sums, self.counts, self.steps = {}, {}, 0

    def _iteration(self, engine: Engine) -> None:
        self.note()
        self.steps += 1
        if self.steps == engine.state.epoch_length:
            self._publish(engine)

    def _publish(self, engine: Engine) -> None:
        if self.steps == 0:
            return  # published with the last iteration; else the epoch is of unknown length, or was cut short
        for name in self.published:
            engine.state.metrics.pop(name, None)  # a term that is off now has no figure
        means = self.means()
        engine.state.metrics.update(means)
        self.published, self.steps = list(means), 0

    def note(self) -> None:
        """Add the values of the last step."""
        for suffix, values in (("", self.objective.values), ("_weighted", self.objective.weighted)):
            for name, value in values.items():
                key = f"{self.prefix}{name}{suffix}"
                self.sums[key] = self.sums[key] + value if key in self.sums else value
                self.counts[key] = self.counts.get(key, 0) + 1

    def means(self) -> dict[str, float]:
        """The means since the last call, in one transfer."""
        if not self.sums:
            return {}
        values = torch.stack([s.double() / self.counts[k] for k, s in self.sums.items()]).tolist()
        means = dict(zip(self.sums, values, strict=True))
        self.sums, self.counts = {}, {}
        return means
