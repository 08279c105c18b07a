# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn

from monai_kd.engines.batches import Publish, preparing
from monai_kd.engines.whole_epochs import WholeEpochs
from monai_kd.handlers import FiniteLoss, SyncGradients, TeacherGuard
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import teachers_in
from monai_kd.utils import ConfigError, is_distributed, is_parallel, unique, unwrap

__all__ = ["DistillationTrainer", "trainable"]


def trainable(network: nn.Module, inferer: DistillationInferer) -> list[nn.Parameter]:
    """The parameters that learn: of `network` and of the passes' own networks, each once; a `Teacher` has none.

    Args:
        network: the network the stage trains.
        inferer: whose passes may have networks (connectors, peers, heads).

    Example::

        >>> import torch, monai_kd
        >>> from monai_kd.inferers import DistillationInferer
        >>> net, peer = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
        >>> len(monai_kd.trainable(net, DistillationInferer({"student": {}, "peer": {"network": peer}})))
        4
    """
    networks = [network, *inferer.networks.values()]
    return unique(p for net in networks for p in net.parameters() if p.requires_grad)


class DistillationTrainer(SupervisedTrainer):
    """MONAI's `SupervisedTrainer` whose inferer runs passes and whose loss is an `Objective` over what they gave.

    `_iteration` is MONAI's: accumulation, AMP, `torch.compile`, events, metrics and federated learning stay as they
    are. `network` is what this stage trains and publishes, as a rule the student. The knowledge of an iteration is in
    `engine.state.knowledge` from LOSS_COMPLETED until the iteration ends; `engine.state.output` holds `image`, `label`,
    `pred` and `loss`, as always.

    The trainer moves all networks and the objective to the device, puts the learning ones in train mode, and
    under `torch.distributed` keeps every learning parameter that is in no `DistributedDataParallel` in step
    (`SyncGradients`); what the passes' networks hold besides, and copies of the student, start as rank 0's. MetaTensors
    of the batch are stripped once; the batch is decollated only if there is `postprocessing`, unless `decollate` says
    so, and gradients are set to None between steps, as torch does, unless `optim_set_to_none` says otherwise.

    Args:
        args: as of `SupervisedTrainer`: device, max_epochs, train_data_loader, network, optimizer, loss_function, ...
        inferer: a `DistillationInferer`.
        train_handlers: handlers, attached in this order.
        prepare_batch: `prepare_batch(batch, device, non_blocking, **to_kwargs)` returning the batch as a mapping; by
            default a mapping is moved to the device and a pair becomes `image` and `label`.
        pred: name in the knowledge published as the prediction; the first pass without a network by default.
        label: batch key published as the label.
        guards: stop when the loss is not finite (`FiniteLoss`) or a frozen teacher changes (`TeacherGuard`).
        kwargs: as of `SupervisedTrainer`.

    Raises:
        ConfigError: the inferer or the loss is of another kind, `max_epochs` is less than 1 or not whole, or the
            optimiser holds a teacher's parameters.

    Example::

        >>> import torch, monai_kd
        >>> from monai_kd.engines import DistillationTrainer
        >>> from monai_kd.inferers import DistillationInferer
        >>> from monai_kd.losses import KDLoss, Objective
        >>> from monai_kd.networks import Teacher
        >>> student, teacher = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
        >>> inferer = DistillationInferer({"student": {}, "teacher": {"network": Teacher(teacher)}})
        >>> trainer = DistillationTrainer(
        ...     device="cpu", max_epochs=2, train_data_loader=[{"image": torch.ones(3, 4)}], network=student,
        ...     optimizer=torch.optim.SGD(monai_kd.trainable(student, inferer), lr=0.1), inferer=inferer,
        ...     loss_function=Objective({"kd": {"loss": KDLoss(), "inputs": ["student", "teacher"]}}))
        >>> trainer.run()
        >>> trainer.state.iteration
        2
    """

    inferer: DistillationInferer
    loss_function: Objective

    def __init__(
        self,
        *args: Any,
        inferer: DistillationInferer,
        train_handlers: Sequence | None = None,
        prepare_batch: Callable | None = None,
        pred: str | None = None,
        label: str = "label",
        guards: bool = True,
        **kwargs: Any,
    ) -> None:
        if not isinstance(inferer, DistillationInferer):
            raise ConfigError(f"inferer must be a DistillationInferer, got {type(inferer).__name__}")
        self.pred = pred or inferer.prediction
        kwargs.setdefault("decollate", kwargs.get("postprocessing") is not None)
        kwargs.setdefault("optim_set_to_none", True)
        published = Publish(IterationEvents.LOSS_COMPLETED, label, self.pred)
        sync = SyncGradients()  # before the user's handlers, which may clip gradients or copy the student
        first = [*([FiniteLoss(), TeacherGuard()] if guards else []), *([sync] if is_distributed() else [])]
        kwargs.update(
            inferer=inferer,
            prepare_batch=preparing(prepare_batch, label, lambda: {*self.loss_function.needs(), self.pred}),
            train_handlers=[published, WholeEpochs(), *first, *(train_handlers or ())],
        )
        super().__init__(*args, **kwargs)
        epochs = self.state.max_epochs
        if not isinstance(epochs, int) or epochs < 1:
            raise ConfigError(f"must be a whole number of 1 or more, got {epochs!r}", where="max_epochs")
        if not isinstance(self.loss_function, Objective):
            raise ConfigError(f"loss_function must be an Objective, got {type(self.loss_function).__name__}")
        self._broken = ""
        self.state.knowledge = {}
        for part in (self.network, *inferer.networks.values(), self.loss_function):
            part.to(self.state.device)
        self._learners = [n for n in inferer.networks.values() if any(p.requires_grad for p in n.parameters())]
        self._refuse_teachers()
        sync.parameters = self._outside_ddp()
        sync.networks = self._started_by_rank_0()
        self.add_event_handler(Events.STARTED, self._check)
        self.add_event_handler(Events.ITERATION_STARTED, self._set_modes)
        self.add_event_handler(Events.ITERATION_COMPLETED, self._forget)

    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self.network, **{f"pass {k!r}": n for k, n in self.inferer.networks.items()}}

    def _held(self) -> set[int]:
        return {id(p) for group in self.optimizer.param_groups for p in group["params"]}

    def _refuse_teachers(self) -> None:
        """An optimiser that holds a teacher's parameters would move it, by weight decay alone."""
        held = self._held()
        for where, network in self._networks().items():
            for teacher in teachers_in(network):
                for name, parameter in teacher.network.named_parameters():
                    if id(parameter) in held:
                        raise ConfigError(
                            f"the optimiser holds the teacher's parameter {name!r}",
                            where=where,
                            fix="build the optimiser from monai_kd.trainable(network, inferer)",
                        )

    def _warn_idle(self) -> None:
        """Parameters that ask for a gradient and are in no optimiser would silently never learn."""
        held = self._held()
        for where, network in self._networks().items():
            idle = [n for n, p in network.named_parameters() if p.requires_grad and id(p) not in held]
            if idle:
                warnings.warn(
                    f"{where}: {len(idle)} parameters ({idle[0]!r}, ...) ask for a gradient and are in no optimiser;"
                    " build it from monai_kd.trainable(network, inferer)",
                    stacklevel=2,
                )

    def _outside_ddp(self) -> list[nn.Parameter]:
        wrapped = {id(p) for n in self._networks().values() if is_parallel(n) for p in n.parameters()}
        return [p for group in self.optimizer.param_groups for p in group["params"] if id(p) not in wrapped]

    def _started_by_rank_0(self) -> list[nn.Module]:
        """Networks that may be built from random numbers: all but those in DDP and teachers, which only copies are."""
        networks = self._networks().values()
        copies = [teacher.network for n in networks for teacher in teachers_in(n) if teacher.copied]
        return [*(n for n in networks if not is_parallel(n)), *copies]

    def _check(self) -> None:
        self.inferer.check(self.network, {*self.loss_function.names(), self.pred})
        self._refuse_teachers()
        self._warn_idle()

    def run(self) -> None:  # type: ignore[override]
        """As MONAI's.

        Raises:
            ConfigError: an exception broke off the run before: ignite would return at once, with nothing trained.
        """
        if self._broken:
            raise ConfigError(
                f"the run broke off in epoch {self.state.epoch}: {self._broken}; a trainer cannot go on after that",
                fix="make the trainer anew; a Checkpoint handler with resume=True takes up what was saved",
            )
        try:
            super().run()
        except BaseException as error:
            self._broken = type(error).__name__
            raise

    def fire_event(self, event_name: Any) -> None:
        """As ignite's; the four events of a step skip its search through the names of all events."""
        if isinstance(event_name, IterationEvents):
            self._fire_event(event_name)
        else:
            super().fire_event(event_name)

    def _set_modes(self) -> None:
        for network in self._learners:
            if not network.training:
                network.train()

    def _forget(self) -> None:
        self.state.knowledge = {}

    @property
    def student(self) -> nn.Module:
        """The network, out of `DistributedDataParallel` and `torch.compile`."""
        return unwrap(self.network)
