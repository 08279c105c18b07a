# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.utils import ConfigError, ShapeMismatchError, gather_rows, is_distributed

__all__ = ["MemoryBank"]


class MemoryBank(nn.Module):
    r"""Remember an embedding of every training sample by student and teacher, and score new ones against them.

    .. math:: a_{nk} = g_{nk} / \tau - \log Z - \log (K / M), \qquad g_{nk} = \langle x_n, m_k \rangle

    for the sample itself (k = 0) and K others drawn for each anew, with M samples in all and Z, for each direction,
    M times the mean of :math:`e^{g / \tau}` over the first batch in train mode, then constant. The student is scored
    against what is remembered of the teacher, and the other way round. What was scored is remembered at the next
    forward in train mode, or when the state is saved, so that a backward finds the bank as it was:
    :math:`m \leftarrow` unit of :math:`\beta m + (1 - \beta) x`. Under `torch.distributed` every process remembers the
    rows of all, and Z is of the rows of all; each draws by itself.

    Tian et al., "Contrastive Representation Distillation", ICLR 2020 (arXiv 1910.10699). Time O(N M D) for one matrix
    product with the whole bank; memory O(M D + N M).

    Args:
        num_samples: M, the number of training samples; `index` is below it.
        features: D, the length of the embeddings, which are of length 1 (`PooledConnector(normalize=True)`).
        negatives: K, at most; there are never more than M - 1.
        temperature: tau.
        momentum: beta.

    Raises:
        ConfigError: fewer than two samples, or a number that is not positive.
        ShapeMismatchError: in `forward`: embeddings or index do not fit.

    Example::

        >>> import torch
        >>> from monai_kd.networks import MemoryBank
        >>> bank, x = MemoryBank(num_samples=10, features=4, negatives=6), torch.eye(4)[:2]
        >>> {name: tuple(a.shape) for name, a in bank(x, x, torch.tensor([3, 7])).items()}
        {'input': (2, 7), 'target': (2, 7)}
    """

    input_bank: Tensor
    target_bank: Tensor
    log_z: Tensor

    def __init__(
        self,
        num_samples: int,
        features: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        if num_samples < 2:
            raise ConfigError(f"num_samples must be at least 2, got {num_samples}", where="MemoryBank")
        for name, value in (("features", features), ("negatives", negatives), ("temperature", temperature)):
            if not value > 0:
                raise ConfigError(f"{name} must be positive, got {value!r}", where="MemoryBank")
        if not 0 <= momentum < 1:
            raise ConfigError(f"momentum must be in [0, 1), got {momentum!r}", where="MemoryBank")
        self.num_samples, self.negatives = int(num_samples), min(int(negatives), int(num_samples) - 1)
        self.temperature, self.momentum = float(temperature), float(momentum)
        bound = math.sqrt(3 / features)
        for name in ("input_bank", "target_bank"):
            self.register_buffer(name, torch.empty(num_samples, features).uniform_(-bound, bound))
        self.register_buffer("log_z", torch.full((2,), torch.nan, dtype=torch.float64))
        self._fixed = [False, False]  # whether log_z is known, which to read off it would wait for the device
        self._seen: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, input: Tensor, target: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Score the embeddings of a batch.

        Args:
            input: embeddings of the student, [N, D], of length 1.
            target: embeddings of the teacher, [N, D], of length 1.
            index: which training sample each row is, [N].

        Returns:
            `input` and `target`: the logits a of both, [N, 1 + K], the sample itself first.
        """
        for role, x in (("student", input), ("teacher", target)):
            if x.shape != (len(index.reshape(-1)), self.input_bank.shape[1]):
                raise ShapeMismatchError(
                    f"{role} is {tuple(x.shape)}, index {tuple(index.shape)}, the bank {tuple(self.input_bank.shape)}",
                    where="MemoryBank",
                    fix="project to [N, features] with a `PooledConnector`",
                )
        self.remember()
        index = index.reshape(-1).long()
        chosen = self.mine(self.choose(index), input, target)
        input, target = (x if x.dtype == torch.float64 else x.float() for x in (input, target))
        pairs = ((input, self.target_bank), (target, self.input_bank))
        cosines = [(x @ bank.to(x.dtype).T).gather(1, chosen) for x, bank in pairs]
        if self.training:
            self._seen = input.detach(), target.detach(), index
            if is_distributed():  # now, while every process is here: the state is saved by one alone
                self._seen = gather_rows(input.detach()), gather_rows(target.detach()), gather_rows(index)
        return dict(zip(("input", "target"), map(self._logits, cosines, (0, 1)), strict=True))

    def choose(self, index: Tensor) -> Tensor:
        """Which samples those of `index` [N] are scored against, [N, 1 + K]: itself, then others at random."""
        others = torch.randint(self.num_samples - 1, (len(index), self.negatives), device=index.device)
        return torch.cat([index.unsqueeze(1), others + (others >= index.unsqueeze(1))], dim=1)

    def mine(self, chosen: Tensor, input: Tensor, target: Tensor) -> Tensor:
        """Which of those `choose` gave are scored, for embeddings of a batch: all of them."""
        return chosen

    def _logits(self, cosine: Tensor, direction: int) -> Tensor:
        scaled = cosine / self.temperature
        log_z = self.log_z[direction]
        if not self._fixed[direction]:
            log_z = self._log_mean(scaled.detach().double()) + math.log(self.num_samples)
            if self.training:  # the first batch
                self.log_z[direction], self._fixed[direction] = log_z, True
        shift = log_z + math.log(self.negatives / self.num_samples)
        return scaled - shift.to(scaled.dtype)

    def _log_mean(self, scaled: Tensor) -> Tensor:
        """The logarithm of the mean of e^scaled, in train mode over the rows of every process."""
        total, count = scaled.flatten().logsumexp(0), scaled.new_tensor(float(scaled.numel()))
        if self.training and is_distributed():
            totals, counts = gather_rows(torch.stack([total, count]).unsqueeze(0)).unbind(1)
            total, count = totals.logsumexp(0), counts.sum()
        return total - count.clamp(min=1).log()

    @torch.no_grad()
    def remember(self) -> None:
        """Take in what was scored last, if it is not yet."""
        if self._seen is None:
            return
        (input, target, index), self._seen = self._seen, None
        for bank, x in ((self.input_bank, input), (self.target_bank, target)):
            moved = self.momentum * bank[index] + (1 - self.momentum) * x.to(bank.dtype)
            bank[index] = nn.functional.normalize(moved, dim=1)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._fixed = self.log_z.isfinite().tolist()

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        self.remember()
        super()._save_to_state_dict(destination, prefix, keep_vars)
