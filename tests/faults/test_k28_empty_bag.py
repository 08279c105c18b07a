# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K28: a bag without instances is refused by name; it gets no answer that looks like one."""

from __future__ import annotations

import pytest
import torch

from monai_kd.data import collate_bags
from monai_kd.networks import AttentionPooling
from monai_kd.utils import DataError


def test_a_sum_over_nothing_looks_like_an_answer():
    features, weights = torch.zeros(0, 4), torch.zeros(0).softmax(0)
    assert (weights @ features).tolist() == [0, 0, 0, 0]


def test_the_pooling_refuses_it():
    pooling = AttentionPooling(in_channels=4, num_classes=2)
    with pytest.raises(DataError, match="bag 1 of the batch: a bag has no instances"):
        pooling(torch.randn(3, 4), torch.tensor([0, 0, 2]))
    with pytest.raises(DataError, match="bag 0 of the batch"):
        pooling(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


def test_the_batch_refuses_it():
    bag = [{"image": torch.ones(1, 4, 4), "label": 1}]
    with pytest.raises(DataError, match="bag 1 of the batch: a bag has no instances"):
        collate_bags([bag, [], bag])
