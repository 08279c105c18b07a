# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
import torch.nn.functional as F
from torch import Tensor

__all__ = ["broadcast", "gather_rows", "is_distributed", "joint_mean"]


def is_distributed() -> bool:
    """Whether more than one process trains together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@torch.no_grad()
def broadcast(*tensors: Tensor) -> None:
    """Give every process rank 0's values.

    Args:
        tensors: overwritten on the other ranks.
    """
    for tensor in tensors:
        dist.broadcast(tensor.detach(), src=0)


def gather_rows(x: Tensor) -> Tensor:
    """Join the rows of every process, in the order of their ranks; gradients flow back to each process's own rows.

    A loss on the joined rows, computed by every process, has after `DistributedDataParallel`'s average exactly the
    gradient of one process on the joined batch. The processes may hold unequal numbers of rows, none included.

    Args:
        x: rows of this process, [n, ...]; the other dimensions must agree between processes.
    """
    count = torch.tensor([x.shape[0]], device=x.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    sizes = [int(c) for c in counts]
    padded = F.pad(x, [0, 0] * (x.ndim - 1) + [0, max(sizes) - x.shape[0]])
    if x.is_floating_point():  # the same answer on every rank, so that the collectives of the backward pair up
        parts = dist_functional.all_gather(padded.contiguous())
    else:
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded.contiguous())
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def joint_mean(total: Tensor, weight: Tensor | float) -> Tensor:
    """This process's share of a mean over the rows of all, such that the average over processes is that mean.

    .. math:: W t_r / \\sum_r w_r

    with W processes. Every process must call it.

    Args:
        total: t, the sum over the rows of this process, a scalar.
        weight: w, how many they are, or the sum of their weights; 0 if there are none.
    """
    every = torch.zeros(1, dtype=torch.float64, device=total.device) + weight
    dist.all_reduce(every)
    return total * (dist.get_world_size() / torch.where(every == 0, 1, every)).to(total.dtype).squeeze()
