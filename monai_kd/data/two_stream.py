# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from monai_kd.utils.errors import DataError

__all__ = ["TwoStreamBatchSampler"]


class TwoStreamBatchSampler(Sampler[list[int]]):
    """Make every batch of labelled and unlabelled items, in a fixed proportion, the labelled first.

    The stream that `epoch` names is gone through once an epoch, shuffled, and its incomplete last part is left out; the
    other is gone through again and again, shuffled anew each time. A data loader takes it as its `batch_sampler`.

    Args:
        labeled: whether each item of the data set is labelled.
        batch_size: items in a batch.
        labeled_size: labelled items in a batch, at least 1 and fewer than `batch_size`.
        epoch: 'unlabeled' or 'labeled'.

    Raises:
        DataError: a stream is shorter than its part of a batch, `labeled_size` or `epoch` is impossible.

    As in Tarvainen & Valpola, Mean teachers are better role models, NeurIPS 2017.

    Example::

        >>> import torch
        >>> from monai_kd.data import TwoStreamBatchSampler
        >>> sampler = TwoStreamBatchSampler([True, False, False, True, False], batch_size=3, labeled_size=2)
        >>> [sorted(batch[:2]) for batch in sampler]
        [[0, 3], [0, 3], [0, 3]]
    """

    def __init__(self, labeled: Sequence[bool], batch_size: int, labeled_size: int, epoch: str = "unlabeled") -> None:
        if not 0 < labeled_size < batch_size:
            raise DataError(f"must be from 1 to {batch_size - 1}, got {labeled_size}", where="labeled_size")
        if epoch not in ("labeled", "unlabeled"):
            raise DataError(f"must be 'labeled' or 'unlabeled', got {epoch!r}", where="epoch")
        flags = torch.as_tensor([bool(x) for x in labeled])
        self.streams = [torch.nonzero(flags == kind).flatten() for kind in (True, False)]
        self.sizes = [labeled_size, batch_size - labeled_size]
        self.leading = 0 if epoch == "labeled" else 1
        for name, stream, size in zip(("labelled", "unlabelled"), self.streams, self.sizes, strict=True):
            if len(stream) < size:
                what = f"{len(stream)} {name} items, a batch wants {size}"
                fix = "change labeled_fraction, batch_size or labeled_size"
                raise DataError(what, where="TwoStreamBatchSampler", fix=fix)

    def __len__(self) -> int:
        return len(self.streams[self.leading]) // self.sizes[self.leading]

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        drawn = [self._endless(stream, generator) for stream in self.streams]
        for _ in range(len(self)):
            yield [next(stream) for stream, size in zip(drawn, self.sizes, strict=True) for _ in range(size)]

    @staticmethod
    def _endless(stream: torch.Tensor, generator: torch.Generator) -> Iterator[int]:
        while True:
            yield from stream[torch.randperm(len(stream), generator=generator)].tolist()
