# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from monai_kd.utils import ConfigError

__all__ = ["WholeEpochs"]


class WholeEpochs:
    """Attached before the user's handlers: an epoch that ends early, unasked, is an error, not a trained network.

    A loader whose thread failed just stops, and the engine would save what there is.
    """

    def attach(self, engine: Engine) -> None:
        """Watch the ends of `engine`'s epochs."""
        self.asked = False
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.TERMINATE_SINGLE_EPOCH | Events.TERMINATE, self._ask)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check)

    def _begin(self, engine: Engine) -> None:
        self.asked, self.first = False, engine.state.iteration

    def _ask(self, *_: Any, **__: Any) -> None:
        self.asked = True

    def _check(self, engine: Engine) -> None:
        done, length = engine.state.iteration - self.first, engine.state.epoch_length
        if length and done < length and not self.asked:
            raise ConfigError(
                f"epoch {engine.state.epoch} ended after {done} of {length} iterations",
                where="the data loader",
                why="it stopped; if its thread failed, the error is printed above",
            )
