# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

__all__ = ["state_hash"]


def state_hash(network: nn.Module) -> str:
    """The SHA-256 of a network's parameters and buffers: of their names, types, shapes and every bit of their values.

    Args:
        network: any network; a wrapper changes the names, and with them the hash.

    Example::

        >>> import torch
        >>> from monai_kd.utils import state_hash
        >>> layer = torch.nn.Linear(4, 2)
        >>> before = state_hash(layer)
        >>> _ = torch.nn.init.zeros_(layer.bias)
        >>> len(before), state_hash(layer) == before
        (64, False)
    """
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            digest.update(value.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{name} {value!r} ".encode())
    return digest.hexdigest()
