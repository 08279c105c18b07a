# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes go on from a file as if they had never stopped, each with random numbers of its own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from monai_kd.handlers import Checkpoint
from monai_kd.handlers.random_state import random_state, set_random_states
from tests.nets import LABEL, Classifier, images, make_trainer
from tests.ranks import result, run_on_two_ranks


def session(folder: Path, rank: int | None, epochs: int, seed: int, resume: bool = False) -> dict[str, Tensor]:
    """Train on six images of this rank with dropout and noise, both of this rank's own seed."""
    torch.manual_seed(3)
    student, pictures = Classifier(norm=False, dropout=0.5), images(12)
    mine = slice(None) if rank is None else slice(6 * rank, 6 * rank + 6)
    items = [{"image": x, "label": torch.tensor(i % 3)} for i, x in enumerate(pictures)][mine]
    noise = Compose([RandGaussianNoised(keys="image", prob=0.7)]).set_random_state(seed)
    torch.manual_seed(seed)
    loader = DataLoader(Dataset(items, noise), batch_size=3, shuffle=True)
    wrapped = student if rank is None else DistributedDataParallel(student)
    checkpoint = Checkpoint(folder, resume=resume)
    make_trainer(wrapped, {}, {"label": LABEL}, loader, epochs, train_handlers=[checkpoint]).run()
    assert checkpoint.newest == checkpoint.path  # in every process, or one would resume at its next turn
    return {**student.state_dict(), "next": torch.rand(4)}


def resumed(case: str, rank: int) -> dict[str, Tensor]:
    """`case` is a folder: four epochs at once, or two and then two in what might be new processes."""
    folder = Path(case)
    if folder.name == "whole":
        return session(folder, rank, 4, seed=10 + rank)
    session(folder, rank, 2, seed=10 + rank)
    return session(folder, rank, 4, seed=77, resume=True)


@pytest.mark.slow
def test_two_processes_go_on_with_their_own_random_numbers(tmp_path: Path, caplog) -> None:
    cases = [str(tmp_path / name) for name in ("whole", "parts")]
    run_on_two_ranks(resumed, cases, tmp_path)
    whole, parts = (result(tmp_path, case) for case in cases)
    for one, other in zip(whole, parts, strict=True):
        assert {k: float((other[k] - v).abs().max()) for k, v in one.items()} == dict.fromkeys(one, 0.0)
    assert not torch.equal(whole[0]["next"], whole[1]["next"])

    with caplog.at_level(logging.WARNING):  # one process alone may go on, too
        session(Path(cases[1]), None, 5, seed=1, resume=True)
    assert "written by 2 processes, now there are 1" in caplog.text


def test_one_of_more_processes_than_there_were_stays_as_it_is_seeded(monkeypatch) -> None:
    saved = random_state(None)
    torch.manual_seed(5)
    expected = torch.rand(3)
    monkeypatch.setattr("monai_kd.handlers.random_state.is_distributed", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        torch.manual_seed(5)
        assert "written by 1 processes, now there are 2" in set_random_states(saved, None)
        assert torch.equal(torch.rand(3), expected) == bool(rank)
