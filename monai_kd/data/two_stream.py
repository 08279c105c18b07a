# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
import torch.distributed as dist
from torch.utils.data import Sampler

from monai_kd.utils import is_distributed
from monai_kd.utils.errors import DataError

__all__ = ["TwoStreamBatchSampler"]


class TwoStreamBatchSampler(Sampler[list[int]]):
    """Make every batch of labelled and unlabelled items, in a fixed proportion, the labelled first.

    The stream that `epoch` names is gone through once an epoch, shuffled, and its incomplete last part is left out; the
    other is gone through again and again, shuffled anew each time. A data loader takes it as its `batch_sampler`.

    Where several processes train together (their group is there when the sampler is made), each has its own part of
    what one process would draw for a batch so many times as large; every process has to iterate.

    Args:
        labeled: whether each item of the data set is labelled.
        batch_size: items in a batch, of each process.
        labeled_size: labelled items in a batch, at least 1 and fewer than `batch_size`.
        epoch: 'unlabeled' or 'labeled'.
        among: the same of all items, if the data set may be the labelled ones of them alone, as a baseline's is. Where
            it is so, a batch is `batch_size` labelled items, drawn with replacement, and an epoch has as many batches
            as it would have with all items.

    Raises:
        DataError: a stream (of `among`, where the data set is a part of it) is empty or shorter than its part of a
            batch, `labeled_size` or `epoch` is impossible.

    As in Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.

    Example::

        >>> import torch
        >>> from monai_kd.data import TwoStreamBatchSampler
        >>> sampler = TwoStreamBatchSampler([True, False, False, True, False], batch_size=3, labeled_size=2)
        >>> [sorted(batch[:2]) for batch in sampler]
        [[0, 3], [0, 3], [0, 3]]
    """

    def __init__(
        self,
        labeled: Sequence[bool],
        batch_size: int,
        labeled_size: int,
        epoch: str = "unlabeled",
        among: Sequence[bool] | None = None,
    ) -> None:
        if not 0 < labeled_size < batch_size:
            raise DataError(f"must be from 1 to {batch_size - 1}, got {labeled_size}", where="labeled_size")
        if epoch not in ("labeled", "unlabeled"):
            raise DataError(f"must be 'labeled' or 'unlabeled', got {epoch!r}", where="epoch")
        among = labeled if among is None else among
        self.alone = 0 < len(labeled) < len(among) and all(labeled)
        streams = _streams(among if self.alone else labeled)
        sizes = [labeled_size, batch_size - labeled_size]
        self.rank, self.processes = (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)
        for name, stream, size in zip(("labelled", "unlabelled"), streams, sizes, strict=True):
            if len(stream) < size * self.processes:
                what = f"{len(stream)} {name} items, a batch wants {size}"
                what += f" in each of {self.processes} processes" if self.processes > 1 else ""
                fix = "change labeled_fraction, batch_size or labeled_size"
                raise DataError(what, where="TwoStreamBatchSampler", fix=fix)
        leading = 0 if epoch == "labeled" else 1
        self.batches = len(streams[leading]) // (sizes[leading] * self.processes)
        self.streams, self.sizes = (_streams(labeled)[:1], [batch_size]) if self.alone else (streams, sizes)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        seed = int(torch.empty((), dtype=torch.int64).random_())
        if self.processes > 1:  # here and not in the generator, which a loader's thread may run beside the training
            said = [seed]
            dist.broadcast_object_list(said)
            seed = said[0]
        return self._batches(torch.Generator().manual_seed(seed))

    def _batches(self, generator: torch.Generator) -> Iterator[list[int]]:
        drawn = [self._endless(stream, generator) for stream in self.streams]
        for _ in range(len(self)):
            joint = [list(islice(d, size * self.processes)) for d, size in zip(drawn, self.sizes, strict=True)]
            yield [i for part in joint for i in part[self.rank :: self.processes]]

    def _endless(self, stream: torch.Tensor, g: torch.Generator) -> Iterator[int]:
        n = len(stream)
        while True:
            order = torch.randint(n, (n,), generator=g) if self.alone else torch.randperm(n, generator=g)
            yield from stream[order].tolist()


def _streams(labeled: Sequence[bool]) -> list[torch.Tensor]:
    """Where the labelled items are, and where the others."""
    flags = torch.as_tensor([bool(x) for x in labeled])
    return [torch.nonzero(flags == kind).flatten() for kind in (True, False)]
