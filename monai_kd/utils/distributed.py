# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
import torch.nn.functional as F
from torch import Tensor

__all__ = ["broadcast", "gather_rows", "is_distributed", "mean_scale"]


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


def mean_scale(count: int, device: torch.device) -> float:
    """What a mean over `count` rows here must be multiplied by, so that the average over processes is the joint mean.

    .. math:: n_r W / \\sum_r n_r

    Args:
        count: rows of this process.
        device: where the collective runs.
    """
    total = torch.tensor([count], dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return count * dist.get_world_size() / max(float(total), 1.0)
