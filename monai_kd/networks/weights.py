# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import nn

from monai_kd.utils import CheckpointError, read_state, suggest, unwrap

__all__ = ["check_resettable", "fresh_copy", "load_weights", "loaded_from", "read_weights", "reset_parameters"]

Network = TypeVar("Network", bound=nn.Module)


def read_weights(path: str | os.PathLike) -> Mapping[str, Any]:
    """Read a flat state dict, or the one that a file holds under `state_dict`, `model` or `network`.

    Args:
        path: the file (`.pt` or `.safetensors`); see :func:`monai_kd.utils.read_state` for its checksum.

    Raises:
        CheckpointError: it is missing, damaged, not what its checksum says, or holds something else.
    """
    state: Mapping[str, Any] = read_state(path)
    for key in ("state_dict", "model", "network"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    return state


def loaded_from(network: nn.Module) -> Path | None:
    """Which file :func:`load_weights` read last into this network, or into the one it is a copy of; None if none.

    Args:
        network: out of any wrapper.
    """
    return getattr(unwrap(network), "_loaded_from", None)


def load_weights(network: Network, path: str | os.PathLike, hint: str = "") -> Network:
    """Load a flat state dict (`.pt` or `.safetensors`) into `network`, every key of it, and return the network.

    Args:
        network: receives the weights.
        path: as of :func:`read_weights`.
        hint: what to run if the file is missing.

    Raises:
        CheckpointError: the file is missing or not what its checksum says, or is not exactly this network's state;
            names the file and the keys.

    Example::

        >>> import tempfile, torch
        >>> from monai_kd.networks import load_weights
        >>> net, path = torch.nn.Linear(2, 1), tempfile.mkdtemp() + "/model.pt"
        >>> torch.save(net.state_dict(), path)
        >>> load_weights(torch.nn.Linear(2, 1), path).weight.equal(net.weight)
        True
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", where=str(path), fix=hint)
    state = read_weights(path)
    target = unwrap(network)
    own = target.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing or extra or wrong:
        problems = [
            f"{len(keys)} {what} ({suggest('', keys, 'keys', 3)})"
            for what, keys in (("missing", missing), ("unexpected", extra), ("of another shape", wrong))
            if keys
        ]
        raise CheckpointError(
            f"not the weights of this {type(target).__name__}: {'; '.join(problems)}",
            where=str(path),
            fix="build the network as it was built when the file was written",
        )
    target.load_state_dict(state)
    object.__setattr__(target, "_loaded_from", path)  # a path: TorchScript, which is published, passes it over
    return network


def reset_parameters(network: nn.Module) -> None:
    """Draw the weights of `network` anew, each layer by its own `reset_parameters` (torch's default initialisation).

    Raises:
        CheckpointError: a layer holds parameters and cannot reset them; names it.
    """
    check_resettable(network)
    for layer in reversed(list(network.modules())):  # inside out: a network's own initialisation comes last
        reset: Any = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()


def check_resettable(network: nn.Module) -> None:
    """Refuse a network with a layer that holds parameters which nothing draws anew.

    Raises:
        CheckpointError: names the layer.
    """
    covered: list[str] = []
    for name, layer in network.named_modules():  # outside in: is there a layer that nobody resets?
        if hasattr(layer, "reset_parameters"):
            covered.append(f"{name}." if name else "")
        elif next(layer.parameters(recurse=False), None) is not None and not name.startswith(tuple(covered)):
            raise CheckpointError(
                "its parameters cannot be drawn anew",
                where=f"layer {name!r} ({type(layer).__name__})",
                fix="build a second network instead of copying this one",
            )


def fresh_copy(network: Network) -> Network:
    """A copy of `network` with weights drawn anew: a peer, or the next generation.

    Args:
        network: what to copy, out of any wrapper.

    Example::

        >>> import torch
        >>> from monai_kd.networks import fresh_copy
        >>> net = torch.nn.Linear(8, 8)
        >>> fresh_copy(net).weight.equal(net.weight)
        False
    """
    peer = cast(Network, copy.deepcopy(unwrap(network)))
    reset_parameters(peer)
    return peer
