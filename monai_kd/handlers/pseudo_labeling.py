# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ignite.engine import Events
from torch import Tensor

from monai_kd.data import pseudo_labels
from monai_kd.networks import PseudoLabelBank
from monai_kd.networks.teacher import in_mode
from monai_kd.utils import ConfigError, broadcast, is_distributed, to_device, unwrap

__all__ = ["PseudoLabeling"]


class PseudoLabeling:
    """Every so many epochs the teacher labels anew what has no label: the rounds of self-training.

    The first round has no pseudo-labels; round r + 1 has those of the surest samples of each class, by `quotas[r]`, see
    :func:`monai_kd.data.select_confident`, and no others. Rounds past the last quota keep what there is. Among the
    handlers it stands after the one that moves the teacher. Under `torch.distributed` every process runs through the
    samples, and takes what rank 0 chose.

    Args:
        bank: takes the labels.
        data: batches of unlabelled training samples (:func:`monai_kd.data.unlabeled_items`), without augmentation, each
            with its `index`. It is run through in every round.
        quotas: for each class, a number, or a share if it has a point.
        every: epochs of a round.
        threshold: a confidence must be above it.
        answer: name in the knowledge of the teacher's logits.

    Raises:
        ConfigError: `every` is below 1, or there is no quota.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import PseudoLabeling
        >>> from monai_kd.networks import PseudoLabelBank
        >>> batches = [{"image": torch.rand(4, 1, 8, 8), "index": torch.tensor([2, 3, 5, 7])}]
        >>> handler = PseudoLabeling(PseudoLabelBank(8), batches, quotas=[0.2, 0.5], every=10)  # in train_handlers
    """

    def __init__(
        self,
        bank: PseudoLabelBank,
        data: Iterable[Mapping[str, Any]],
        quotas: Sequence[float],
        every: int,
        threshold: float = 0.0,
        answer: str = "teacher",
    ) -> None:
        if every < 1 or not quotas:
            raise ConfigError(f"{len(quotas)} quotas, every {every} epochs", where="PseudoLabeling")
        self.bank, self.data, self.quotas = bank, data, list(quotas)
        self.every, self.threshold, self.answer = every, threshold, answer

    def attach(self, engine: Any) -> None:
        """Label when a round of `engine` starts."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        rounds, epochs = divmod(engine.state.epoch - 1, self.every)
        if epochs == 0 and 0 < rounds <= len(self.quotas):
            self.label(engine, self.quotas[rounds - 1])

    def label(self, engine: Any, quota: float) -> None:
        """Label now."""
        network = unwrap(engine.network)

        def answer(batch: Mapping[str, Any]) -> Tensor:
            return engine.inferer(to_device(batch, engine.state.device), network, {self.answer})[self.answer]

        with in_mode(network, False):
            self.bank.replace(pseudo_labels(self.data, answer, quota, self.threshold))
        if is_distributed():
            broadcast(self.bank.labels)
