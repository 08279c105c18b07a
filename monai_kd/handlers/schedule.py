# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import look_up_option

from monai_kd.losses import Objective
from monai_kd.utils import ConfigError, Schedule

__all__ = ["ScheduleParameter", "Weights"]


class ScheduleParameter:
    """Set an attribute of any object at the start of every epoch, or of every iteration.

    Args:
        target: the object, such as a loss whose `temperature` falls.
        attribute: its attribute; a dotted path goes deeper.
        schedule: function of t, the epoch counted from 0 (`monai_kd.utils.ramp_up(30)`).
        every: "epoch", or "iteration": t is then the iteration counted from 0, over all epochs.

    Raises:
        ConfigError: the target has no such attribute.

    Example::

        >>> from monai_kd.handlers import ScheduleParameter
        >>> from monai_kd.losses import KDLoss
        >>> from monai_kd.utils import linear
        >>> loss = KDLoss(temperature=8.0)
        >>> ScheduleParameter(loss, "temperature", linear(10, 8.0, 2.0)).set(5)
        >>> loss.temperature
        5.0
    """

    def __init__(self, target: Any, attribute: str, schedule: Schedule, every: str = "epoch") -> None:
        self.every = look_up_option(every, ("epoch", "iteration"))
        *path, self.attribute = attribute.split(".")
        value = target
        for part in (*path, self.attribute):
            if not hasattr(value, part):
                raise ConfigError(f"no attribute {attribute!r}", where=type(target).__name__)
            self.target, value = value, getattr(value, part)
        self.schedule = schedule

    def attach(self, engine: Engine) -> None:
        """Set the attribute at every EPOCH_STARTED of `engine`, or every ITERATION_STARTED."""
        event = Events.EPOCH_STARTED if self.every == "epoch" else Events.ITERATION_STARTED
        engine.add_event_handler(event, lambda engine: self.set(getattr(engine.state, self.every) - 1))

    def set(self, t: float) -> None:
        """Set the attribute for epoch or iteration `t`, counted from 0."""
        setattr(self.target, self.attribute, self.schedule(t))


class Weights:
    """Set the weights of an objective's terms at the start of every epoch; the schedule's value *is* the weight.

    Args:
        objective: the objective.
        values: {term: schedule}, functions of t, the epoch counted from 0.

    Raises:
        UnknownNameError: the objective has no such term.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import Weights
        >>> from monai_kd.losses import Objective
        >>> from monai_kd.utils import step
        >>> objective = Objective({"kd": {"loss": torch.nn.MSELoss(), "inputs": ["student", "teacher"]}})
        >>> Weights(objective, {"kd": step(5)}).set(0)
        >>> objective.needs()
        set()
    """

    def __init__(self, objective: Objective, values: Mapping[str, Schedule]) -> None:
        self.schedules = [ScheduleParameter(objective.term(name), "weight", s) for name, s in values.items()]

    def attach(self, engine: Engine) -> None:
        """Set the weights at every EPOCH_STARTED of `engine`."""
        for schedule in self.schedules:
            schedule.attach(engine)

    def set(self, t: float) -> None:
        """Set the weights for epoch `t`, counted from 0."""
        for schedule in self.schedules:
            schedule.set(t)
