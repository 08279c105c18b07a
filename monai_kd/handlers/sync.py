# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn

from monai_kd.utils import broadcast, unique

__all__ = ["SyncGradients"]


class SyncGradients:
    """Keep parameters outside `DistributedDataParallel` in step between processes: connectors, peers, heads.

    Once, when the run starts, rank 0 broadcasts parameters and buffers, also of what only remembers. After every
    backward one flat all-reduce averages the gradients, before a scaler or the optimiser sees them. A parameter without
    a gradient in every process stays without one. `DistillationTrainer` attaches this by itself.

    Args:
        parameters: what the optimiser holds outside `DistributedDataParallel`.
        networks: whose parameters, frozen ones included, and buffers rank 0 broadcasts at the start.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import SyncGradients
        >>> connector = torch.nn.Linear(4, 8)
        >>> sync = SyncGradients(connector.parameters(), [connector])
    """

    def __init__(self, parameters: Iterable[nn.Parameter] = (), networks: Sequence[nn.Module] = ()) -> None:
        self.parameters = unique(parameters)
        self.networks = list(networks)

    def attach(self, engine: Engine) -> None:
        """Broadcast when `engine` starts its first epoch, average after every backward."""
        engine.add_event_handler(Events.EPOCH_STARTED(once=1), self.broadcast)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.average)

    def broadcast(self) -> None:
        """Give every process rank 0's parameters and buffers."""
        held = [t for network in self.networks for t in (*network.parameters(), *network.buffers())]
        broadcast(*{id(t): t for t in (*self.parameters, *held)}.values())

    @torch.no_grad()
    def average(self) -> None:
        """Average the gradients over the processes."""
        if not self.parameters:
            return
        for group in _by_dtype(self.parameters).values():
            present = torch.tensor([float(p.grad is not None) for p in group], device=group[0].device)
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in group]
            flat = torch.cat([present.to(grads[0].dtype), *(g.reshape(-1) for g in grads)])
            dist.all_reduce(flat)
            flat /= dist.get_world_size()
            anywhere = flat[: len(group)].tolist()
            values = flat[len(group) :].split([p.numel() for p in group])
            for p, value, some in zip(group, values, anywhere, strict=True):
                if some:
                    p.grad = value.view_as(p).clone() if p.grad is None else p.grad.copy_(value.view_as(p))


def _by_dtype(parameters: Iterable[nn.Parameter]) -> dict[tuple, list[Tensor]]:
    groups: dict[tuple, list[Tensor]] = {}
    for p in parameters:
        groups.setdefault((p.dtype, p.device), []).append(p)
    return groups
