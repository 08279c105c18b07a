# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from monai_kd.networks import DiscrepancyMemoryBank
from monai_kd.utils import ConfigError

LABELS = [0] * 7 + [1] * 5


def build(positives: int = 3, candidates: int = 5, **given: bool) -> DiscrepancyMemoryBank:
    sizes = {"positives": positives, "candidates": candidates, "negatives": 6}
    return DiscrepancyMemoryBank(LABELS, features=4, **sizes, **given)


@pytest.mark.parametrize("easiest", [False, True])
def test_positives_are_the_candidates_that_the_student_misses_most(easiest):
    bank, index = build(easiest=easiest), torch.tensor([2, 9])
    s, t = (normalize(torch.randn(2, 4), dim=1) for _ in range(2))
    torch.manual_seed(5)
    drawn = bank.choose(index)
    kept = bank.mine(drawn, s, t)
    assert kept[:, 3:].equal(drawn[:, 5:])
    for n, i in enumerate(index.tolist()):
        gaps = {
            j: float(t[n] @ bank.target_bank[j] - s[n] @ bank.input_bank[j]) for j in drawn[n, :5].tolist() if j != i
        }
        assert kept[n, :3].tolist() == [i, *sorted(gaps, key=gaps.get, reverse=not easiest)[:2]]


def test_a_small_class_is_not_counted_twice():
    bank = build(positives=5, candidates=20)
    s, t = (normalize(torch.randn(1, 4), dim=1) for _ in range(2))
    kept = bank.mine(bank.choose(torch.tensor([8])), s, t)
    assert sorted(kept[0, :5].tolist()) == [7, 8, 9, 10, 11]


def test_logits_are_of_what_was_kept():
    bank, index = build(), torch.tensor([2, 9])
    s, t = (normalize(torch.randn(2, 4), dim=1) for _ in range(2))
    torch.manual_seed(5)
    kept = bank.mine(bank.choose(index), s, t)
    torch.manual_seed(5)
    logits = bank(s, t, index)["input"]
    cosines = torch.stack([s[n] @ bank.target_bank[kept[n]].T for n in range(2)])
    torch.testing.assert_close(logits - logits[0, 0], (cosines - cosines[0, 0]) / 0.07)


@pytest.mark.parametrize(("positives", "candidates"), [(4, 3), (0, 3)])
def test_more_positives_than_candidates_are_refused(positives, candidates):
    with pytest.raises(ConfigError, match=f"{positives} positives of {candidates} candidates"):
        build(positives, candidates)
