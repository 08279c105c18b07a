# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""How a batch gets into MONAI's `_iteration`, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from monai_kd.utils import ConfigError, plain, to_device

__all__ = ["Publish", "preparing"]


def preparing(prepare_batch: Callable | None, label: str, needs: Callable[[], set[str]]) -> Callable:
    """A `prepare_batch` of MONAI's engines that makes every batch a mapping of plain tensors.

    The mapping travels both as the input and as the target, and the inferer is told what is needed.

    Args:
        prepare_batch: `prepare_batch(batch, device, non_blocking, **to_kwargs)` returning a mapping or a pair; None
            moves a mapping to the device, and makes a pair `image` and `label`.
        label: batch key of the second of a pair.
        needs: called for every batch, says which names are needed of it.

    Raises:
        ConfigError: when called: the batch is no mapping, pair or tensor.
    """

    def prepared(batch: Any, device: torch.device, non_blocking: bool = False, **kwargs: Any) -> tuple:
        if prepare_batch is None:
            batch = to_device(_named(batch, label), device, non_blocking, **kwargs)
        else:
            own = _named(prepare_batch(batch, device, non_blocking, **kwargs), label)
            batch = {key: plain(value) for key, value in own.items()}
        return batch, batch, (), {"needs": needs()}

    return prepared


class Publish:
    """Attached before every other handler: turn what `_iteration` produced into MONAI's `image`, `label`, `pred`.

    Args:
        event: when the knowledge is there.
        label: batch key published as the label.
        pred: name in the knowledge published as the prediction.
        more: {key: name} of what else is published, of the knowledge or the batch.
    """

    def __init__(self, event: IterationEvents, label: str, pred: str, more: Mapping[str, str] | None = None) -> None:
        self.event, self.label, self.pred, self.more = event, label, pred, dict(more or {})

    def attach(self, engine: Engine) -> None:
        """Publish in every iteration of `engine`."""
        engine.add_event_handler(self.event, self)

    def __call__(self, engine: Any) -> None:
        output = engine.state.output
        batch, knowledge = output[Keys.LABEL], output[Keys.PRED]
        engine.state.knowledge = knowledge
        published = {
            Keys.IMAGE: batch.get(Keys.IMAGE),
            Keys.LABEL: batch.get(self.label),
            Keys.PRED: knowledge[self.pred],
            **{key: knowledge[name] if name in knowledge else batch[name] for key, name in self.more.items()},
        }
        for key, value in published.items():
            output.pop(key, None)
            if value is not None:
                output[key] = value


def _named(batch: Any, label: str) -> Mapping[str, Any]:
    if isinstance(batch, Mapping):
        return batch
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return {Keys.IMAGE.value: batch[0], label: batch[1]}
    if isinstance(batch, torch.Tensor):
        return {Keys.IMAGE.value: batch}
    raise ConfigError(
        f"a batch must be a mapping, a pair or a tensor, got {type(batch).__name__}", fix="give a prepare_batch"
    )
