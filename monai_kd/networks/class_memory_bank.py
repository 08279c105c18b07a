# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_kd.networks.memory_bank import MemoryBank
from monai_kd.utils import ConfigError

__all__ = ["ClassMemoryBank"]


class ClassMemoryBank(MemoryBank):
    r"""A `MemoryBank` that knows the classes: it scores against samples of the same and of other classes, and gives the
    centre of every class.

    .. math:: \mu_c = \frac{v_c}{\|v_c\|_2}, \qquad v_c = \sum_{i:\, y_i = c} \mathrm{relu}(m_i)

    The first positive is the sample itself, P - 1 others of its class follow, each at most once as long as there are
    enough; K negatives are drawn from all other classes, with replacement. A sample without a class has itself alone.
    Centres are those before the batch was remembered (the authors take those after it).

    Xing et al., "Categorical Relation-Preserving Contrastive Knowledge Distillation for Medical Image Classification",
    MICCAI 2021 (arXiv 2107.03225).

    Args:
        labels: class of every training sample, [M], in the order of `index`; negative: none.
        num_classes: C; by default the largest label and one.
        positives: P.
        features, negatives, temperature, momentum: see `MemoryBank`.

    Raises:
        ConfigError: fewer than two classes, a label that is too large, or no positive.

    Example::

        >>> import torch
        >>> from monai_kd.networks import ClassMemoryBank
        >>> bank = ClassMemoryBank(labels=[0, 0, 0, 1, 1, 1], features=4, positives=2, negatives=3)
        >>> {name: tuple(a.shape) for name, a in bank(*torch.eye(4)[:2].expand(2, 2, 4), torch.tensor([3, 0])).items()}
        {'input': (2, 5), 'target': (2, 5), 'input_centers': (2, 4), 'target_centers': (2, 4)}
    """

    labels: Tensor
    groups: Tensor
    order: Tensor
    first: Tensor
    count: Tensor

    def __init__(
        self,
        labels: Sequence[int] | Tensor,
        num_classes: int | None = None,
        features: int = 128,
        positives: int = 20,
        negatives: int = 4096,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        labels = torch.as_tensor(labels).reshape(-1).long()
        super().__init__(len(labels), features, negatives, temperature, momentum)
        largest = int(labels.max())
        self.num_classes = largest + 1 if num_classes is None else int(num_classes)
        if largest >= self.num_classes:
            raise ConfigError(f"a label is {largest}, num_classes is {self.num_classes}", where="ClassMemoryBank")
        if positives < 1:
            raise ConfigError(f"positives must be at least 1, got {positives!r}", where="ClassMemoryBank")
        if len(labels.unique()) < 2:
            raise ConfigError(
                "all labels are the same, so there are no negatives", where="ClassMemoryBank", fix="use `MemoryBank`"
            )
        self.positives = int(positives)
        own = self.num_classes + torch.arange(len(labels))  # a sample without a class is one by itself
        groups = torch.where(labels >= 0, labels, own)
        count = torch.bincount(groups)
        first = count.cumsum(0) - count
        for name, value in (("labels", labels), ("order", groups.argsort()), ("groups", groups)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("first", first[groups], persistent=False)
        self.register_buffer("count", count[groups], persistent=False)

    def forward(self, input: Tensor, target: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Score the embeddings of a batch, as a `MemoryBank` does.

        Returns:
            `input` and `target`, [N, P + K], the positives first; `input_centers` and `target_centers`, [C, D], zeros
            for a class without a sample.
        """
        scores = super().forward(input, target, index)
        return {
            **scores,
            "input_centers": self._centers(self.input_bank),
            "target_centers": self._centers(self.target_bank),
        }

    def choose(self, index: Tensor) -> Tensor:
        """Which samples those of `index` [N] are scored against, [N, P + K]."""
        first, count = self.first[index].unsqueeze(1), self.count[index].unsqueeze(1)
        # all samples, class by class, shuffled within: who follows a sample in its class is drawn without replacement
        keys = self.groups + torch.rand(self.num_samples, device=index.device, dtype=torch.float64) / 2
        shuffled = keys.argsort()
        place = torch.empty_like(shuffled).scatter_(0, shuffled, torch.arange(len(shuffled), device=index.device))
        step = torch.arange(self.positives, device=index.device)
        same = shuffled[first + (place[index].unsqueeze(1) - first + step) % count]
        drawn = torch.rand(len(index), self.negatives, device=index.device, dtype=torch.float64)
        others = (drawn * (self.num_samples - count)).long()
        return torch.cat([same, self.order[torch.where(others < first, others, others + count)]], dim=1)

    @torch.no_grad()
    def _centers(self, bank: Tensor) -> Tensor:
        known = self.labels >= 0
        total = bank.new_zeros(self.num_classes, bank.shape[1])
        return F.normalize(total.index_add_(0, self.labels.clamp(min=0), bank.relu() * known.unsqueeze(1)), dim=1)
