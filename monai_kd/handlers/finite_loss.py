# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from monai_kd.utils import NonFiniteError, is_distributed

__all__ = ["FiniteLoss"]

NAMED = 8  #: samples that an error names


class FiniteLoss:
    """Stop a run whose loss is nan or infinite, before the weights are: MONAI's engines go on and report success.

    The loss is looked at between forward and backward. On a CPU that is in every iteration, and the weights are still
    good. An accelerator would have to be waited for: there it is in every tenth, and at the end of each epoch, before
    checkpoints are written. Under `torch.distributed` all processes stop if one has to.

    Args:
        every: iterations between looks; None is 1 on a CPU and 10 elsewhere.

    Raises:
        NonFiniteError: names the terms, the iteration, and the samples of that batch by `case` or `index`.

    Example::

        >>> from monai_kd.handlers import FiniteLoss
        >>> FiniteLoss(every=1).every  # a `DistillationTrainer` has one by itself
        1
    """

    def __init__(self, every: int | None = None) -> None:
        self.every = every
        self._seen: list[tuple[int, Tensor, Mapping[str, Tensor], Any]] = []  # names of samples last, not the batch

    def attach(self, engine: Any) -> None:
        """Watch the losses of `engine`, a `DistillationTrainer`."""
        engine.add_event_handler(Events.STARTED, lambda engine: self._seen.clear())
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _note(self, engine: Any) -> None:
        loss = engine.state.output[Keys.LOSS].detach()
        self._seen.append((engine.state.iteration, loss, engine.loss_function.values, _names(engine.state.batch)))
        if len(self._seen) >= (self.every or (1 if loss.device.type == "cpu" else 10)):
            self._look(engine)

    def _look(self, engine: Any) -> None:
        if not self._seen:
            return
        seen, self._seen = self._seen, []
        alone = seen[0][1].device.type == "cpu" and not is_distributed()
        if alone and all(math.isfinite(float(loss)) for _, loss, _, _ in seen):
            return  # the usual case, without an operation on tensors
        finite = torch.stack([loss for _, loss, _, _ in seen]).isfinite()
        somewhere = (~finite.all()).int()
        if is_distributed():
            dist.all_reduce(somewhere, op=dist.ReduceOp.MAX)
        if not bool(somewhere):
            return
        fix = "look at these samples, lower the learning rate, or leave out half precision"
        if bool(finite.all()):
            where = f"epoch {engine.state.epoch}"
            raise NonFiniteError("the loss of another process is not finite", where=where, fix=fix)
        iteration, loss, values, names = seen[int((~finite).int().argmax())]
        terms = [f"{name!r} is {float(v):g}" for name, v in values.items() if not bool(v.isfinite().all())]
        what = f"term {', '.join(terms)}" if terms else f"the sum of terms is {float(loss):g}, though each is finite"
        where = f"iteration {iteration}, epoch {engine.state.epoch}"
        raise NonFiniteError(what, where=where, why=_samples(names), fix=fix)


def _names(batch: Any) -> tuple[str, Any]:
    """By which key the samples of a batch have names, and the names; empty and None if they have none."""
    for key in ("case", "index"):
        if isinstance(batch, Mapping) and key in batch:
            return key, batch[key]
    return "", None


def _samples(names: tuple[str, Any]) -> str:
    """The samples of a batch, as far as they have names."""
    key, found = names
    if not key:
        return "the batch has no 'case' and no 'index' that would name its samples"
    listed = found.tolist() if isinstance(found, Tensor) else list(found)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return f"samples, by {key}: {', '.join(map(str, listed[:NAMED]))}{more}"
