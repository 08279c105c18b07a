# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter

import pytest
import torch
from monai.data import ThreadDataLoader

from monai_kd.data import TwoStreamBatchSampler
from monai_kd.utils import DataError
from tests.ranks import State, result, run_on_two_ranks

LABELED = [i % 5 == 0 for i in range(23)]  # 5 labelled, 18 not


@pytest.mark.parametrize(("epoch", "batches"), [("unlabeled", 6), ("labeled", 5)])
def test_one_stream_is_the_epoch_and_the_other_is_cycled(epoch, batches):
    torch.manual_seed(0)
    sampler = TwoStreamBatchSampler(LABELED, 4, 1, epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == batches
    assert all([LABELED[i] for i in batch] == [True, False, False, False] for batch in drawn)
    counts = Counter(i for batch in drawn for i in batch)
    led = [counts[i] for i, flag in enumerate(LABELED) if flag == (epoch == "labeled")]
    other = [counts[i] for i, flag in enumerate(LABELED) if flag != (epoch == "labeled")]
    assert set(led) == {1}
    assert max(other) - min(other) <= 1  # none is drawn again before all were


def test_every_epoch_is_another_and_torchs_seed_decides():
    sampler = TwoStreamBatchSampler(LABELED, 6, 2)
    torch.manual_seed(3)
    first, second = list(sampler), list(sampler)
    torch.manual_seed(3)
    assert first == list(sampler) != second


def test_a_loader_takes_it():
    items = [{"x": float(i), "labeled": flag} for i, flag in enumerate(LABELED)]
    loader = ThreadDataLoader(items, batch_sampler=TwoStreamBatchSampler(LABELED, 4, 2), num_workers=0)
    assert [batch["labeled"].tolist() for batch in loader] == [[True, True, False, False]] * 9


def draw(case: str, rank: int) -> State:
    torch.manual_seed(rank)  # however differently the processes have drawn before
    sampler = TwoStreamBatchSampler([i % 3 == 0 for i in range(60)], 6, 2)
    loader = ThreadDataLoader(torch.arange(60), batch_sampler=sampler, num_workers=0)
    return {str(epoch): torch.stack(list(loader)) for epoch in range(2)}


def test_two_processes_share_what_one_would_draw(tmp_path):
    run_on_two_ranks(draw, ["drawn"], tmp_path)
    first, second = result(tmp_path, "drawn")
    for epoch in ("0", "1"):
        joint = torch.cat([first[epoch], second[epoch]], 1)
        assert joint.shape == (5, 12) and all(len(set(batch)) == 12 for batch in joint.tolist())
        for batches in (first[epoch], second[epoch]):
            assert (batches % 3 == 0).tolist() == [[True] * 2 + [False] * 4] * 5
        led = joint[joint % 3 != 0].tolist()
        assert len(led) == len(set(led)) == 40  # every unlabelled item once, in one process or the other
    assert not first["0"].equal(first["1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LABELED, 4, 4), "labeled_size: must be from 1 to 3, got 4"),
        ((LABELED, 4, 0), "from 1 to 3, got 0"),
        ((LABELED, 9, 6), "5 labelled items, a batch wants 6.*labeled_fraction"),
        (([True] * 5, 4, 2), "0 unlabelled items, a batch wants 2"),
        ((LABELED, 4, 2, "both"), "epoch: must be 'labeled' or 'unlabeled', got 'both'"),
    ],
)
def test_impossible_batches_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        TwoStreamBatchSampler(*arguments)


@pytest.mark.parametrize(("epoch", "batches"), [("unlabeled", 6), ("labeled", 5)])
def test_labelled_items_alone_make_as_many_batches(epoch, batches):
    torch.manual_seed(0)
    sampler = TwoStreamBatchSampler([True] * 5, 4, 1, epoch, among=LABELED)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == len(TwoStreamBatchSampler(LABELED, 4, 1, epoch)) == batches
    assert all(len(batch) == 4 for batch in drawn) and {i for batch in drawn for i in batch} == set(range(5))
    assert any(len(set(batch)) < 4 for batch in drawn)  # with replacement


def test_what_all_items_are_changes_nothing_where_there_are_two_streams():
    drawn = []
    for among in (None, LABELED, [*LABELED, False]):
        torch.manual_seed(0)
        drawn.append(list(TwoStreamBatchSampler(LABELED, 4, 1, among=among)))
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.mark.parametrize(
    ("labeled", "among", "message"),
    [
        ([True] * 5, [True] * 5, "0 unlabelled items"),
        ([True] * 5, [True] * 5 + [False] * 2, "2 unlabelled items, a batch wants 3"),
        ([], LABELED, "0 labelled items"),
        ([False] * 5, LABELED, "0 labelled items"),
    ],
)
def test_labelled_items_alone_are_refused_where_two_streams_would_be(labeled, among, message):
    with pytest.raises(DataError, match=message):
        TwoStreamBatchSampler(labeled, 4, 1, among=among)
