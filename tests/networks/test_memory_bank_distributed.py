# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes, half of the batch each, remember what one process remembers of the whole."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from monai_kd.networks import ClassMemoryBank, MemoryBank
from tests.ranks import result, run_on_two_ranks

CASES = ("samples", "classes")


def remembered(case: str, rank: int | None) -> dict[str, Tensor]:
    """Score two batches of four, or this rank's halves of them, and return the bank."""
    torch.manual_seed(1)
    options = {"features": 3, "negatives": 4}
    bank = MemoryBank(9, **options) if case == "samples" else ClassMemoryBank([0, 1, 2] * 3, positives=2, **options)
    batches = [[normalize(torch.randn(4, 3), dim=1) for _ in range(2)] for _ in range(2)]
    mine = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    for (x, y), index in zip(batches, (torch.tensor([0, 4, 8, 2]), torch.tensor([3, 2, 1, 0])), strict=True):
        bank(x[mine], y[mine], index[mine])
    state = bank.state_dict()
    return {name: state[name].clone() for name in ("input_bank", "target_bank")}


def saved_alone(case: str, rank: int) -> dict[str, Tensor]:
    """As `remembered`, but the first process alone saves its state, as a checkpoint does."""
    bank = MemoryBank(9, features=3, negatives=4)
    x = normalize(torch.full((2, 3), rank + 1.0), dim=1)
    bank(x, x, torch.tensor([2 * rank, 2 * rank + 1]))
    return {"bank": bank.state_dict()["input_bank"].clone()} if rank == 0 else {}


def test_one_process_saves_what_all_saw(tmp_path: Path) -> None:
    run_on_two_ranks(saved_alone, ["alone"], tmp_path)
    rows = result(tmp_path, "alone")[0]["bank"][:4]
    assert (rows.norm(dim=1) - 1).abs().max() < 1e-6


def test_every_process_remembers_every_row(tmp_path: Path) -> None:
    run_on_two_ranks(remembered, CASES, tmp_path)
    for case in CASES:
        whole = remembered(case, None)
        for state in result(tmp_path, case):
            for name, rows in whole.items():
                torch.testing.assert_close(state[name], rows)
