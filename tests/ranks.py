# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Run a function in two gloo processes and keep what each returned."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from tests.bundle_process import leave

State = dict[str, Tensor]


def run_on_two_ranks(train: Callable[[str, int], State], cases: Sequence[str], folder: Path) -> None:
    """Call `train(case, rank)` for every case in two processes; `result` reads what it returned.

    Args:
        train: a function of a module, so that it can be pickled.
        cases: run one after another in the same two processes.
        folder: where the results go.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_work, args=(port, train, tuple(cases), str(folder)), nprocs=2)


def result(folder: Path, case: str) -> list[State]:
    """What `train(case, rank)` returned, for rank 0 and 1."""
    return [torch.load(folder / f"{case}_{rank}.pt", weights_only=True) for rank in (0, 1)]


def _work(rank: int, port: int, train: Callable[[str, int], State], cases: Sequence[str], folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for case in cases:
        torch.save(train(case, rank), Path(folder) / f"{case}_{rank}.pt")
        dist.barrier()
    dist.destroy_process_group()
    leave()
