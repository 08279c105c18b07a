# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K20: two processes train as one would, and when one of them has to stop both do."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from monai_kd.networks import Teacher
from monai_kd.utils import NonFiniteError
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer
from tests.ranks import result, run_on_two_ranks


def data(rank: int | None) -> list[dict]:
    """Two batches of eight, or a process's half of each."""
    torch.manual_seed(1)
    rows = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    return [{key: value[rows] for key, value in batch.items()} for batch in batches(2, rows=8)]


def train(case: str, rank: int | None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    plain, teacher = Classifier(norm=False), Classifier(norm=False)
    student: nn.Module = plain if rank is None else DistributedDataParallel(plain)
    loader = data(rank)
    if case == "broken" and rank == 1:
        loader[1]["image"][0] = math.nan
    trainer = make_trainer(student, {"teacher": {"network": Teacher(teacher)}}, {"label": LABEL, "kd": MIMIC}, loader)
    stopped = ""
    try:
        trainer.run()
    except NonFiniteError as error:
        stopped = str(error)
    told = torch.tensor([trainer.state.iteration, float(bool(stopped))])
    return {**{name: value.clone() for name, value in plain.state_dict().items()}, "told": told}


def test_two_are_as_one_and_stop_together(tmp_path):
    run_on_two_ranks(train, ["whole", "broken"], tmp_path)
    alone = train("whole", None)
    for state in result(tmp_path, "whole"):
        assert all(torch.allclose(state[name], value, atol=1e-6) for name, value in alone.items())
    first, second = result(tmp_path, "broken")
    assert first["told"].tolist() == second["told"].tolist() == [2, 1]  # in the second step, the healthy one, too
    assert all(first[name].equal(value) and value.isfinite().all() for name, value in second.items())
