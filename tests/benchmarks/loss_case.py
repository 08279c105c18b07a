# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["SIZES", "LossCase"]

# what a loss is timed on: shape of the student's and of the teacher's tensor
SIZES: dict[str, tuple[int, ...]] = {
    "L": (64, 1000),  # logits
    "M": (64, 256, 14, 14),  # maps
    "V": (2, 32, 64, 64, 64),  # a volume
    "E64": (64, 512),  # embeddings
    "E256": (256, 512),
    "X": (32, 2048, 7, 7),  # more channels than places
}


@dataclass(frozen=True)
class LossCase:
    """A loss of ours beside the same loss as everybody writes it.

    Args:
        name: our class.
        size: key of `SIZES`.
        ours: builds our loss, called as `loss(input, target, **extras)`.
        textbook: the same value in plain torch operations from the formula, without any of our functions; None where
            the plain form does not fit into memory.
        extras: makes further arguments (labels, masks, memory banks) for both, from the shape.
        pairs: for losses that take more than two tensors first: makes all positional tensors from the shape; by default
            student and teacher, standard normal, the student wanting a gradient.
        time: largest ratio ours / textbook that is aimed at; None for no target.
        memory: MiB that ours may hold at its peak beyond its inputs and their gradients; None for no target.
    """

    name: str
    size: str
    ours: Callable[[], Callable[..., Tensor]]
    textbook: Callable[..., Tensor] | None
    extras: Callable[[tuple[int, ...]], Mapping[str, Any]] = field(default=lambda shape: {})
    pairs: Callable[[tuple[int, ...]], tuple[Tensor, ...]] | None = None
    time: float | None = None
    memory: float | None = None

    def tensors(self) -> tuple[Tensor, ...]:
        """The positional tensors, the same at each call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            shape = SIZES[self.size]
            if self.pairs is not None:
                return self.pairs(shape)
            return torch.randn(shape).requires_grad_(), torch.randn(shape)
