# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor

from monai_kd.networks import PrototypeHead
from monai_kd.networks.teacher import in_mode
from monai_kd.utils import ConfigError, broadcast, is_distributed, to_device, unwrap

__all__ = ["PushPrototypes"]


class PushPrototypes:
    """At the end of an epoch every prototype becomes a patch of a training image, so that it can be shown.

    The prototypes of a class choose one after the other, in random order: each takes the nearest patch of an image of
    its class that none before has taken from. Only if there are fewer images than prototypes is one used again. A class
    without images keeps its prototypes. The head notes which image it was, and where.

    The order is drawn from the number of the epoch; nothing else draws from it. The optimiser's state is left alone.
    Under `torch.distributed` every process runs through the images, and takes what rank 0 found.

    Args:
        head: the head with the prototypes.
        data: batches of labelled training images without augmentation: mappings with `label`, `index` (which image it
            is) and what the pass of the features reads. It is run through at every push.
        features: name in the knowledge of the map that the head takes.
        start: epochs before the first push.
        every: epochs between pushes.
        label: batch key of the class, [N]; an image with a negative one is passed over.

    Raises:
        ConfigError: `every` is below 1; in the run: a batch lacks a key.

    Wang et al., Knowledge distillation to ensemble global and interpretable prototype-based mammogram classification
    models, MICCAI 2022 (arXiv 2209.12420).

    Example::

        >>> import torch
        >>> from monai_kd.handlers import PushPrototypes
        >>> from monai_kd.networks import PrototypeHead
        >>> head = PrototypeHead(spatial_dims=2, in_channels=8, num_classes=3, per_class=5)
        >>> images = [{"image": torch.rand(2, 1, 8, 8), "label": torch.tensor([0, 2]), "index": torch.tensor([7, 9])}]
        >>> handler = PushPrototypes(head, images, start=3)  # among the trainer's train_handlers
    """

    def __init__(
        self,
        head: PrototypeHead,
        data: Iterable[Mapping[str, Any]],
        features: str = "student.feature",
        start: int = 0,
        every: int = 1,
        label: str = "label",
    ) -> None:
        if every < 1:
            raise ConfigError(f"every must be at least 1 epoch, got {every}", where="PushPrototypes")
        self.head, self.data, self.features = head, data, features
        self.start, self.every, self.label = start, every, label

    def attach(self, engine: Any) -> None:
        """Push at the ends of `engine`'s epochs."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        past = engine.state.epoch - self.start
        if past > 0 and (past - 1) % self.every == 0:
            self.push(engine)

    @torch.no_grad()
    def push(self, engine: Any) -> None:
        """Push now."""
        head, generator = self.head, torch.Generator().manual_seed(engine.state.epoch)
        for c, found in enumerate(self._candidates(engine)):
            used: set[int] = set()
            for i in torch.randperm(head.per_class, generator=generator).tolist() if found else ():
                images = found["image"][i].tolist()  # nearest first
                k = next((k for k, image in enumerate(images) if image not in used), 0)
                used.add(images[k])
                m = c * head.per_class + i
                head.prototypes[m] = found["patch"][i, k]
                head.image[m], head.place[m] = images[k], found["place"][i, k]
        if is_distributed():
            broadcast(head.prototypes, head.image, head.place)

    def _candidates(self, engine: Any) -> list[dict[str, Tensor]]:
        """Of each class, the images nearest to each prototype, as many as there are prototypes; empty without images.

        `distance` and `image` [per_class, k], `patch` [per_class, k, D], `place` [per_class, k, spatial_dims].
        """
        head, network = self.head, unwrap(engine.network)
        best: list[dict[str, Tensor]] = [{} for _ in range(head.num_classes)]
        for batch in self.data:
            if missing := {self.label, "index"} - batch.keys():
                raise ConfigError(f"a batch of `data` lacks {sorted(missing)}", where="PushPrototypes")
            batch = to_device(batch, engine.state.device)
            with in_mode(network, False):
                map = engine.inferer(batch, network, {self.features})[self.features]
            label, index = batch[self.label].reshape(-1), batch["index"].reshape(-1).long()
            nearest = head.nearest(map)
            for c in range(head.num_classes):
                rows, own = label == c, slice(c * head.per_class, (c + 1) * head.per_class)
                if not rows.any():
                    continue
                new = {name: x[rows][:, own].transpose(0, 1) for name, x in nearest._asdict().items()}
                new["image"] = index[rows].expand(head.per_class, -1)
                joined = {name: torch.cat([best[c][name], x], 1) if best[c] else x for name, x in new.items()}
                distance = joined["distance"]
                chosen = distance.topk(min(head.per_class, distance.shape[1]), largest=False).indices
                rank = torch.arange(head.per_class, device=chosen.device).unsqueeze(1)
                best[c] = {name: x[rank, chosen] for name, x in joined.items()}
        return best
