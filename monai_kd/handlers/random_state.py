# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from monai.transforms import Randomizable
from torch.utils.data import Dataset

from monai_kd.utils import CheckpointError, is_distributed

__all__ = ["random_state", "random_states", "set_random_state", "set_random_states"]

# ruff: noqa: NPY002  (MONAI and augmentation libraries draw from numpy's old generator)


def random_state(loader: Any) -> dict[str, Any]:
    """The states of torch's, numpy's and Python's generators and of each random transform of a loader's dataset.

    Only tensors and plain values. Workers of a loader are seeded from torch's generator at every epoch.

    Args:
        loader: what the trainer reads its batches from.
    """
    version, words, following = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": _packed(np.random.get_state()),
        "python": [version, list(words), following],
        "transforms": [_packed(t.R.get_state()) for t in _randomizables(loader)],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any], loader: Any) -> None:
    """Put every generator where it was.

    Args:
        state: from `random_state`.
        loader: with the same transforms.
    """
    torch.set_rng_state(state["torch"])
    np.random.set_state(_unpacked(state["numpy"]))
    version, words, following = state["python"]
    random.setstate((version, tuple(words), following))
    transforms = _randomizables(loader)
    if len(transforms) != len(state["transforms"]):
        raise CheckpointError(
            f"{len(transforms)} random transforms, the run that was saved had {len(state['transforms'])}",
            fix="resume with the configuration that wrote the file",
        )
    for transform, saved in zip(transforms, state["transforms"], strict=True):
        transform.R.set_state(_unpacked(saved))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])  # of what there may be fewer now


def random_states(loader: Any) -> dict[str, Any] | list[dict[str, Any]]:
    """`random_state`; under `torch.distributed`, where every process must call it, a list of those of all ranks.

    Args:
        loader: what this process's trainer reads its batches from.
    """
    state = random_state(loader)
    if not is_distributed():
        return state
    states = [state] * dist.get_world_size()
    dist.all_gather_object(states, state)
    return states


def set_random_states(states: Mapping[str, Any] | list[Mapping[str, Any]], loader: Any) -> str:
    """Put the generators of this process where those of the same rank were.

    Args:
        states: from `random_states`.
        loader: with the same transforms.

    Returns:
        What is to be told if there were another number of processes; only rank 0 then goes on where it was, the others
        stay as they are seeded.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if is_distributed() else (0, 1)
    saved = states if isinstance(states, list) else [states]
    if len(saved) == processes or rank == 0:
        set_random_state(saved[rank], loader)
    if len(saved) == processes:
        return ""
    return f"written by {len(saved)} processes, now there are {processes}: only rank 0 goes on with its random numbers"


def _packed(state: Any) -> list[Any]:
    kind, keys, position, has_gauss, gauss = state
    return [str(kind), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)]


def _unpacked(state: list[Any]) -> tuple:
    kind, keys, *rest = state
    return (kind, keys.numpy().astype(np.uint32), *rest)


def _randomizables(loader: Any) -> list[Randomizable]:
    """The random transforms below `loader`, each once, in the order in which they are held."""
    found: dict[int, Randomizable] = {}
    seen: set[int] = set()
    waiting: list[Any] = [getattr(loader, "dataset", None)]
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Randomizable):
            found[id(item)] = item
        waiting[:0] = _held(item)
    return list(found.values())


def _held(item: Any) -> Iterator[Any]:
    """Transforms and datasets that `item` holds: of a dataset its transform, of a transform its parts."""
    if isinstance(item, Dataset) or (hasattr(item, "__dict__") and callable(item)):
        for value in vars(item).values():
            for part in value if isinstance(value, (list, tuple)) and len(value) < 1000 else (value,):
                if isinstance(part, Dataset) or (callable(part) and type(part).__module__ != "builtins"):
                    yield part
