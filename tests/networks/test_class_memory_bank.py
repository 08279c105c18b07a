# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from monai_kd.losses import ClassGuidedContrastiveLoss, ClassRelationLoss
from monai_kd.networks import ClassMemoryBank
from monai_kd.utils import ConfigError

LABELS = [0, 1, 0, 2, 1, 0, -1, 1, 0, 0]


def bank(**options) -> ClassMemoryBank:
    return ClassMemoryBank(
        **{"labels": LABELS, "features": 4, "positives": 3, "negatives": 6, "temperature": 0.5, **options}
    )


def embeddings(n: int = 3) -> list[torch.Tensor]:
    return [normalize(torch.randn(n, 4), dim=1).requires_grad_() for _ in range(2)]


def test_positives_share_the_class_and_negatives_do_not():
    memory = bank()
    for _ in range(20):
        chosen = memory.choose(torch.arange(10)).tolist()
        for i, row in enumerate(chosen):
            assert row[0] == i and len(row) == 9
            same = row[:3]
            assert all(LABELS[k] == LABELS[i] for k in same) if LABELS[i] >= 0 else same == [i] * 3
            if LABELS.count(LABELS[i]) >= 3:
                assert len(set(same)) == 3  # none twice
            assert all(LABELS[k] != LABELS[i] or (LABELS[i] < 0 and k != i) for k in row[3:])


def test_every_other_sample_is_drawn_about_equally_often():
    memory = bank(negatives=9)
    chosen = torch.cat([memory.choose(torch.tensor([0])) for _ in range(2000)])
    positives, negatives = (x.flatten().bincount(minlength=10) for x in (chosen[:, 1:3], chosen[:, 3:]))
    for drawn, allowed in ((positives, [2, 5, 8, 9]), (negatives, [1, 3, 4, 6, 7])):
        assert [i for i in range(10) if drawn[i] > 0] == allowed
        assert (drawn[allowed] / drawn.sum() - 1 / len(allowed)).abs().max() < 0.03


def test_a_class_of_few_repeats_itself():
    row = bank(positives=5).choose(torch.tensor([3]))[0, :5].tolist()
    assert row == [3] * 5


def test_centers_are_the_mean_direction_of_a_class():
    memory = bank(num_classes=4)
    answer = memory(*embeddings(), torch.tensor([0, 1, 2]))
    for name, rows in (("input_centers", memory.input_bank), ("target_centers", memory.target_bank)):
        for c in range(3):
            total = [sum(max(rows[i][d].item(), 0.0) for i in range(10) if LABELS[i] == c) for d in range(4)]
            size = math.sqrt(sum(x * x for x in total))
            torch.testing.assert_close(answer[name][c], torch.tensor([x / size for x in total]))
        assert torch.equal(answer[name][3], torch.zeros(4))


def test_losses_take_what_it_gives():
    memory, (x, y) = bank(), embeddings()
    answer = memory(x, y, torch.tensor([0, 1, 3]))
    contrast = ClassGuidedContrastiveLoss(positives=3)(answer["input"], answer["target"])
    relation = ClassRelationLoss()(x, y, answer["input_centers"], answer["target_centers"])
    (contrast + relation).backward()
    assert contrast.isfinite() and relation.isfinite() and x.grad.abs().max() > 0


def test_remembered_rows_have_length_one_and_state_is_small():
    memory, (x, y) = bank(), embeddings()
    memory(x, y, torch.tensor([0, 1, 3]))
    state = copy.deepcopy(memory.state_dict())
    assert set(state) == {"input_bank", "target_bank", "log_z"}
    torch.testing.assert_close(state["input_bank"][[0, 1, 3]].norm(dim=1), torch.ones(3))


def test_what_is_impossible_is_refused():
    with pytest.raises(ConfigError, match="all labels are the same"):
        bank(labels=[1, 1, 1])
    with pytest.raises(ConfigError, match="a label is 2, num_classes is 2"):
        bank(num_classes=2)
    with pytest.raises(ConfigError, match="positives must be at least 1"):
        bank(positives=0)
