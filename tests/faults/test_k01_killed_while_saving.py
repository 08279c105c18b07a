# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A run that is killed while it saves leaves a file that loads, and no rubbish for longer than the next saving."""

from __future__ import annotations

import multiprocessing.connection
import random
import time
from pathlib import Path

import pytest
import torch

from monai_kd.utils import read_state, write_state
from tests.faults.children import FORK, start

NAMES = ["state.previous.pt", "state.pt"]


def save(folder: Path, count: int, size: int = 1 << 18) -> None:
    state = {"count": count, "tensors": [torch.full((size // 4,), float(count)) for _ in range(4)]}
    write_state(folder / "state.pt", state, folder / "state.previous.pt")


def save_for_ever(folder: Path, count: int, saved: multiprocessing.connection.Connection) -> None:
    while True:
        count += 1
        save(folder, count)
        saved.send(count)


def count_of(path: Path) -> int:
    """The counter of a file, which every number in it must agree with."""
    state = read_state(path)
    assert all(bool((tensor == state["count"]).all()) for tensor in state["tensors"])
    return state["count"]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in NAMES]


def kill_at_random(folder: Path, times: int) -> None:
    delays, count, left = random.Random(0), 1, 0
    save(folder, count)
    for _ in range(times):
        receiving, sending = FORK.Pipe(duplex=False)
        child = start(save_for_ever, folder, count, sending)
        sending.close()
        assert receiving.poll(30)
        begun = receiving.recv()
        time.sleep(delays.uniform(0, 0.05))
        child.kill()
        child.join()
        told = begun
        while receiving.poll():
            try:
                told = receiving.recv()
            except EOFError:
                break
        before, count = count, count_of(folder / "state.pt")
        assert before < told <= count <= told + 1  # what was told to be saved is saved
        assert count - 1 <= count_of(folder / "state.previous.pt") <= count
        assert len(leftovers(folder)) <= 2  # of this kill: those of the one before are gone
        left += bool(leftovers(folder))
    assert left > 0  # else none of them was killed while it saved
    save(folder, count + 1)
    assert leftovers(folder) == [] and count_of(folder / "state.pt") == count + 1


def test_twenty_kills(tmp_path):
    kill_at_random(tmp_path, 20)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path):
    kill_at_random(tmp_path, 200)


def hold(folder: Path, ready: multiprocessing.connection.Connection) -> None:
    from monai_kd.utils.atomic import replacing

    with replacing(folder / "state.pt") as beside:
        ready.send(beside.name)
        time.sleep(60)


def test_what_a_live_process_writes_is_not_taken_for_a_leftover(tmp_path):
    receiving, sending = FORK.Pipe(duplex=False)
    child = start(hold, tmp_path, sending)
    assert receiving.poll(30)
    name = receiving.recv()
    save(tmp_path, 1)
    assert leftovers(tmp_path) == [name]
    child.kill()
    child.join()
    save(tmp_path, 2)
    assert leftovers(tmp_path) == []


def test_others_can_read_the_file_as_far_as_the_umask_says(tmp_path):
    (tmp_path / "plain").touch()
    save(tmp_path, 1, size=8)
    assert (tmp_path / "state.pt").stat().st_mode == (tmp_path / "plain").stat().st_mode
