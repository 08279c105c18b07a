# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader
from torch.utils.data import WeightedRandomSampler

from monai_kd.data import balanced_sampler
from monai_kd.utils import DataError
from tests.ranks import State, result, run_on_two_ranks

ITEMS = [{"label": int(i % 10 == 0), "labeled": i < 150} for i in range(200)]  # one in ten is rare


def test_classes_are_drawn_alike_and_hidden_labels_never():
    torch.manual_seed(0)
    sampler = balanced_sampler(ITEMS, 3)
    assert isinstance(sampler, WeightedRandomSampler) and len(sampler) == 200
    drawn = [i for _ in range(20) for i in sampler]
    assert sum(ITEMS[i]["label"] for i in drawn) / len(drawn) == pytest.approx(0.5, abs=0.05)
    assert all(ITEMS[i]["labeled"] for i in drawn)


def test_as_many_are_drawn_as_are_asked_for():
    assert len(list(balanced_sampler(ITEMS[:20], 2, num_samples=50))) == 50


def draw(case: str, rank: int) -> State:
    torch.manual_seed(0)
    loader = DataLoader(torch.arange(150), batch_size=25, sampler=balanced_sampler(ITEMS[:150], 2))
    more = balanced_sampler(ITEMS[:150], 2, num_samples=301)
    return {"drawn": torch.cat([i for _ in range(20) for i in loader]), "more": torch.tensor(list(more))}


def test_two_processes_draw_different_items_and_classes_alike(tmp_path):
    run_on_two_ranks(draw, ["drawn"], tmp_path)
    first, second = (set(state["drawn"].tolist()) for state in result(tmp_path, "drawn"))
    assert not first & second
    for state in result(tmp_path, "drawn"):
        assert len(state["drawn"]) == 20 * 75 and len(state["more"]) == 151
        assert (state["drawn"] % 10 == 0).float().mean() == pytest.approx(0.5, abs=0.1)


def test_labels_that_occur_together_are_refused():
    with pytest.raises(DataError, match="several labels"):
        balanced_sampler([{"label": [0, 1]}], 2)
