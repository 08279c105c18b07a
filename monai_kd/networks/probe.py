# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from monai_kd.networks.teacher import in_mode
from monai_kd.utils import TapError, find_layer, unwrap

__all__ = ["Probe", "without_head"]


class Probe(nn.Module):
    """A network of which the head alone learns: the encoder before it is frozen, in eval mode, and gets no gradient.

    The head is the network's own, so what the probe learns is in the network that is published, and nothing has to be
    put together. Parameters of the probe are those of the head; the encoder may learn elsewhere at the same time.

    Args:
        network: the network; it is held, not registered. Wrappers are looked through.
        head: path of its head, a module of one input whose output is the answer.

    Raises:
        UnknownLayerError: there is no such head.
        TapError: in the call: the head did not run exactly once.

    Example::

        >>> import torch
        >>> from monai_kd.networks import Probe
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> Probe(network, "1")(torch.rand(3, 4)).sum().backward()
        >>> [p.grad is not None for p in network.parameters()]
        [False, False, True, True]
    """

    network: nn.Module

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        object.__setattr__(self, "network", unwrap(network))  # past nn.Module, which would register it
        self.path = head
        self.head = find_layer(self.network, head)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Answer as the network does."""
        return self.head(self.features(*inputs))

    def features(self, *inputs: Tensor) -> Tensor:
        """What enters the head, without a graph."""
        entered: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda layer, args: entered.append(args[0]))
        try:
            with torch.no_grad(), in_mode(self.network, False):
                self.network(*inputs)
        finally:
            handle.remove()
        if len(entered) != 1:
            raise TapError(
                f"the head ran {len(entered)} times", where=f"Probe, {self.path!r}", fix="name the last layer"
            )
        return entered[0]


def without_head(network: nn.Module, head: str) -> nn.Module:
    """A copy of `network` that answers with what enters its head: an encoder.

    Args:
        network: what to copy, out of any wrapper.
        head: path of its head.

    Raises:
        UnknownLayerError: there is no such head.

    Example::

        >>> import torch
        >>> from monai_kd.networks import without_head
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> without_head(network, "1")(torch.rand(3, 4)).shape
        torch.Size([3, 8])
    """
    encoder = copy.deepcopy(unwrap(network))
    find_layer(encoder, head)
    encoder.set_submodule(head, nn.Identity())
    return encoder
