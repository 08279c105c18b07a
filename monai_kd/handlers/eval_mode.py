# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn
from torch.utils.hooks import RemovableHandle

from monai_kd.utils import Schedule, unwrap

__all__ = ["EvalMode"]


class EvalMode:
    """Run a network in eval mode in some epochs of its training: for a stage in which it does not learn.

    Without, its BatchNorm statistics move though its weights do not.

    Args:
        network: the network; wrappers are looked through.
        schedule: function of t, the epoch counted from 0; whether it runs in eval mode.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import EvalMode
        >>> network = torch.nn.BatchNorm1d(2)
        >>> EvalMode(network, lambda epoch: epoch == 1).set(1)
        >>> _ = network.train()(torch.randn(5, 2))
        >>> network.running_mean
        tensor([0., 0.])
    """

    def __init__(self, network: nn.Module, schedule: Schedule) -> None:
        self.network, self.schedule = unwrap(network), schedule
        self._hook: RemovableHandle | None = None

    def attach(self, engine: Engine) -> None:
        """Choose the mode at every EPOCH_STARTED of `engine`, and leave the network as any other at its end."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.set(engine.state.epoch - 1))
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._leave)

    def set(self, t: float) -> None:
        """Choose the mode for epoch `t`, counted from 0."""
        self._leave()
        if self.schedule(t):  # a hook, since a trainer puts its network in train mode in every iteration
            self._hook = self.network.register_forward_pre_hook(_to_eval)

    def _leave(self, *_: object) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _to_eval(network: nn.Module, inputs: tuple) -> None:
    network.eval()
