# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_kd.networks.class_memory_bank import ClassMemoryBank
from monai_kd.utils import ConfigError

__all__ = ["DiscrepancyMemoryBank"]


class DiscrepancyMemoryBank(ClassMemoryBank):
    r"""A `ClassMemoryBank` that scores against those samples of a class which the teacher finds more alike than the
    student does.

    .. math:: \delta_{nj} = \langle t_n, m^t_j \rangle - \langle s_n, m^s_j \rangle

    Of P' candidates of its class the P with the largest discrepancy are a sample's positives, itself always first.

    Xing et al., "Gradient modulated contrastive distillation of low-rank multi-modal knowledge for disease diagnosis",
    Medical Image Analysis 2023.

    Args:
        labels: see `ClassMemoryBank`.
        num_classes: see `ClassMemoryBank`.
        features: see `MemoryBank`.
        positives: P.
        candidates: P', drawn at random.
        negatives, temperature, momentum: see `MemoryBank`.
        easiest: take the smallest discrepancy, as the authors' code does, which has the two in each other's place.

    Raises:
        ConfigError: there are fewer candidates than positives; see also `ClassMemoryBank`.

    Example::

        >>> import torch
        >>> from monai_kd.networks import DiscrepancyMemoryBank
        >>> bank = DiscrepancyMemoryBank([0, 0, 0, 1, 1, 1], features=4, positives=2, candidates=3, negatives=3)
        >>> bank(*torch.eye(4)[:2].expand(2, 2, 4), torch.tensor([3, 0]))["input"].shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        labels: Sequence[int] | Tensor,
        num_classes: int | None = None,
        features: int = 128,
        positives: int = 20,
        candidates: int = 300,
        negatives: int = 1024,
        temperature: float = 0.07,
        momentum: float = 0.5,
        easiest: bool = False,
    ) -> None:
        super().__init__(labels, num_classes, features, candidates, negatives, temperature, momentum)
        if not 1 <= positives <= candidates:
            raise ConfigError(f"{positives} positives of {candidates} candidates", where="DiscrepancyMemoryBank")
        self.kept, self.easiest = int(positives), easiest

    @torch.no_grad()
    def mine(self, chosen: Tensor, input: Tensor, target: Tensor) -> Tensor:
        """Keep the P candidates with the largest discrepancy: [N, P' + K] becomes [N, P + K]."""
        candidates, others = chosen[:, : self.positives], chosen[:, self.positives :]
        alike_s, alike_t = (
            (x.to(bank.dtype) @ bank.T).gather(1, candidates)
            for x, bank in ((input, self.input_bank), (target, self.target_bank))
        )
        gap = alike_s - alike_t if self.easiest else alike_t - alike_s
        # a small class comes round again: those that are there already are the last choice, the sample itself the first
        again = torch.arange(self.positives, device=gap.device) >= self.count[candidates[:, :1]]
        gap = gap.masked_fill(again, -torch.inf)
        gap[:, 0] = torch.inf
        kept = gap.topk(self.kept, dim=1).indices
        return torch.cat([candidates.gather(1, kept), others], dim=1)
