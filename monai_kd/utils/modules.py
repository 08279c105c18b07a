# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_kd.utils.errors import UnknownLayerError, suggest

__all__ = ["find_layer", "is_compiled", "is_parallel", "unique", "unwrap"]


def is_compiled(network: nn.Module) -> bool:
    """Whether `network` came out of `torch.compile`, under a `DistributedDataParallel` or not."""
    if isinstance(network, DistributedDataParallel):
        network = network.module
    return "_orig_mod" in network._modules  # torch._dynamo's own class is slow to import


def is_parallel(network: nn.Module) -> bool:
    """Whether `network` is a `DistributedDataParallel`, under a `torch.compile` or not."""
    if "_orig_mod" in network._modules:
        network = cast(nn.Module, network._orig_mod)
    return isinstance(network, DistributedDataParallel)


def unwrap(network: nn.Module) -> nn.Module:
    """Take `network` out of `DistributedDataParallel` and `torch.compile`.

    Args:
        network: a network, wrapped or not.

    Example::

        >>> import torch
        >>> from monai_kd.utils import unwrap
        >>> net = torch.nn.Linear(2, 2)
        >>> unwrap(torch.compile(net)) is net
        True
    """
    while True:
        if isinstance(network, DistributedDataParallel):
            network = network.module
        elif is_compiled(network):
            network = cast(nn.Module, network._orig_mod)
        else:
            return network


def find_layer(network: nn.Module, path: str) -> nn.Module:
    """Return the layer at `path` (as in `named_modules()`) of an unwrapped network.

    Raises:
        UnknownLayerError: there is no such layer; names the nearest ones.

    Example::

        >>> import torch
        >>> from monai_kd.utils import find_layer
        >>> find_layer(torch.nn.Sequential(torch.nn.ReLU()), "0")
        ReLU()
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UnknownLayerError(
            f"no layer {path!r} can be tapped",
            where=type(network).__name__,
            why="a TorchScript network has no hooks",
            fix="give the network itself, not its TorchScript",
        )
    try:
        if path:
            return network.get_submodule(path)
    except AttributeError:
        pass  # the error below lists what there is
    names = [name for name, _ in network.named_modules() if name]
    raise UnknownLayerError(
        f"no layer {path!r}",
        where=type(network).__name__,
        fix=suggest(path, names, f"layers of {type(network).__name__}"),
    )


def unique(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters without repetition, in order."""
    return list({id(p): p for p in parameters}.values())
