# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents

from monai_kd.engines.batches import Publish, preparing
from monai_kd.inferers import DistillationInferer
from monai_kd.utils import ConfigError

__all__ = ["DistillationEvaluator"]


class DistillationEvaluator(SupervisedEvaluator):
    """MONAI's `SupervisedEvaluator` whose inferer runs passes: it tests what other networks than the student answer.

    `engine.state.output` holds `image`, `label` and `pred`, as always, and whatever `publish` names, so that metrics
    and handlers find it there. Only passes that are needed for these run; their networks are moved to the device and,
    like the evaluator's own, are in eval mode for the length of an iteration. The batch is decollated only if there is
    `postprocessing`, unless `decollate` says so.

    Args:
        args: as of `SupervisedEvaluator`: device, val_data_loader, network, ...
        inferer: a `DistillationInferer`. A pass that is told of labels in training must not be here.
        publish: {key: name} of what else the output holds, of the knowledge (`teacher.logits`) or the batch.
        val_handlers: handlers, attached in this order.
        prepare_batch: as of `DistillationTrainer`.
        pred: name in the knowledge published as the prediction; the first pass without a network by default.
        label: batch key published as the label.
        kwargs: as of `SupervisedEvaluator`.

    Raises:
        ConfigError: the inferer is of another kind.
        UnknownLayerError: when the run starts: a tap is on no layer.
        UnknownNameError: a name of `publish` that neither the passes nor the batch give.

    Example::

        >>> import torch
        >>> from monai_kd.engines import DistillationEvaluator
        >>> from monai_kd.inferers import DistillationInferer
        >>> passes = {"student": {}, "peer": {"network": torch.nn.Linear(4, 2)}}
        >>> evaluator = DistillationEvaluator(
        ...     "cpu", [{"image": torch.ones(3, 4)}], torch.nn.Linear(4, 2), inferer=DistillationInferer(passes),
        ...     publish={"peer": "peer"})
        >>> evaluator.run()
        >>> evaluator.state.output["pred"].shape, evaluator.state.output["peer"].shape
        (torch.Size([3, 2]), torch.Size([3, 2]))
    """

    inferer: DistillationInferer

    def __init__(
        self,
        *args: Any,
        inferer: DistillationInferer,
        publish: Mapping[str, str] | None = None,
        val_handlers: Sequence | None = None,
        prepare_batch: Callable | None = None,
        pred: str | None = None,
        label: str = "label",
        **kwargs: Any,
    ) -> None:
        if not isinstance(inferer, DistillationInferer):
            raise ConfigError(f"inferer must be a DistillationInferer, got {type(inferer).__name__}")
        pred = pred or inferer.prediction
        needs = {pred, *(publish or {}).values()}
        kwargs.setdefault("decollate", kwargs.get("postprocessing") is not None)
        kwargs.update(
            inferer=inferer,
            prepare_batch=preparing(prepare_batch, label, lambda: needs),
            val_handlers=[Publish(IterationEvents.FORWARD_COMPLETED, label, pred, publish), *(val_handlers or ())],
        )
        super().__init__(*args, **kwargs)
        self.state.knowledge = {}
        for network in (self.network, *inferer.networks.values()):
            network.to(self.state.device)
        self.add_event_handler(Events.STARTED, lambda engine: inferer.check(engine.network, needs))
        self.add_event_handler(Events.ITERATION_COMPLETED, self._forget)

    def _iteration(self, engine: SupervisedEvaluator, batchdata: dict[str, torch.Tensor]) -> dict:
        """As MONAI's, with the passes' networks in the mode of the evaluator's own."""
        with engine.mode(*self.inferer.networks.values()):
            return super()._iteration(engine, batchdata)

    def _forget(self) -> None:
        self.state.knowledge = {}
