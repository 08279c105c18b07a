# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import AttentionLabels, AttentionPooling
from monai_kd.utils import ConfigError

BAG, BAG_LABEL = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([2, 0])


def make(classes: int = 3) -> tuple[AttentionPooling, AttentionLabels]:
    teacher = AttentionPooling(3, classes, hidden=4, embedding=[8], dropout=0.5).double()
    return teacher, AttentionLabels(teacher, num_samples=8, num_classes=classes).double()


def test_matches_plain_loop_and_remembers():
    teacher, labels = make()
    first, second = torch.randn(2, 5, 3, dtype=torch.float64)
    teacher.eval()
    s = dict(enumerate(teacher.score(first).tolist()))
    labels(first, BAG, BAG_LABEL, torch.arange(5))
    index = torch.tensor([7, 1, 4, 0, 5])
    s.update(zip(index.tolist(), teacher.score(second).tolist(), strict=True))
    teacher.train()
    y = labels(second, BAG, BAG_LABEL, index)
    low, high = min(s.values()), max(s.values())
    for row, (i, b) in enumerate(zip(index.tolist(), BAG.tolist(), strict=True)):
        soft = min(max((s[i] - low) / (high - low), 1e-5), 1 - 1e-5)
        expected = [1 - soft, 0, soft] if b == 0 else [1, 0, 0]
        assert y[row].tolist() == pytest.approx(expected, abs=1e-12)


def test_teacher_stays_as_it_was_and_is_no_part():
    teacher, labels = make()
    features = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    y = labels(features, BAG, BAG_LABEL, torch.arange(5))
    assert teacher.training and not y.requires_grad
    assert y.equal(labels(features, BAG, BAG_LABEL, torch.arange(5)))  # no dropout
    assert list(labels.parameters()) == [] and list(labels.state_dict()) == ["bank"]


def test_equal_scores_give_labels():
    _, labels = make()
    y = labels(torch.zeros(5, 3, dtype=torch.float64), BAG, BAG_LABEL, torch.arange(5))
    assert y.isfinite().all() and y.sum(1).allclose(torch.ones(5, dtype=torch.float64))


def test_what_cannot_be_is_named():
    with pytest.raises(ConfigError, match="must be an AttentionPooling, got Linear"):
        AttentionLabels(torch.nn.Linear(1, 1), 4)
    with pytest.raises(ConfigError, match="0 samples"):
        AttentionLabels(AttentionPooling(3, 2), 0)
