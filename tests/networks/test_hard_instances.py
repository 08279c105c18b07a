# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import HardInstances
from monai_kd.utils import ShapeMismatchError

BAG = torch.tensor([0, 0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_matches_plain_loop(threshold, classes):
    logits, bag_label = torch.randn(7, classes, dtype=torch.float64) * 2, torch.tensor([1, 0, classes - 1])
    kept = HardInstances(threshold)(logits, BAG, bag_label)
    q = logits.softmax(1).tolist()
    for b, label in enumerate(bag_label.tolist()):
        members = (BAG == b).nonzero().flatten().tolist()
        hard = [i for i in members if label == 0 or q[i][label] <= threshold]
        hard = hard or [min(members, key=lambda i: q[i][label])]
        least = min(members, key=lambda i: q[i][label])
        assert [i for i in members if kept[i]] == sorted({*hard, *([] if label == 0 else [least])})


def test_at_one_all_are_kept_and_unlabelled_bags_are_left_alone():
    sure = torch.tensor([[-50.0, 50.0]]).repeat(7, 1)  # a probability of exactly 1
    sure[0] = 0  # the least of its bag
    assert HardInstances(1.0)(sure, BAG, torch.ones(3, dtype=torch.long)).all()
    assert HardInstances(0.5)(sure[:3], BAG[:3], torch.tensor([-1])).all()


def test_no_gradient_and_no_misfit():
    assert not HardInstances()(torch.randn(7, 2, requires_grad=True), BAG, torch.tensor([1, 0, 1])).requires_grad
    with pytest.raises(ShapeMismatchError, match="HardInstances"):
        HardInstances()(torch.zeros(6, 2), BAG, torch.tensor([1, 0, 1]))
