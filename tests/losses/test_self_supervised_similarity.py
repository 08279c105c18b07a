# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from monai_kd.losses.self_supervised_similarity import SelfSupervisedSimilarityLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks
from tests.losses.relation_checks import cosine


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


class OfTwoHalves(nn.Module):
    """The first half of the rows are samples, the rest transformed views."""

    def __init__(self, **options):
        super().__init__()
        self.loss = SelfSupervisedSimilarityLoss(**options)

    def forward(self, input, target):
        n = len(input) // 2
        return self.loss(input[:n], input[n:], target[:n], target[n:])


class TestSelfSupervisedSimilarityLoss(LossChecks):
    shapes = ((6, 5), (8, 3))
    volume = (8, 32)
    test_batch_of_one = None  # a single row is no sample and a view; checked below
    mismatches = (
        ((4, 3), (6, 3), ShapeMismatchError, r"student is \(2, 3\) and \(2, 3\), teacher \(2, 3\) and \(4, 3\)"),
        ((4, 3, 1), (4, 3, 1), ShapeMismatchError, r"give \[N, D\]"),
    )

    def build(self):
        return OfTwoHalves(temperature=0.7)

    def oracle(self, input, target):
        n, total = len(input) // 2, 0.0
        s, t = input.tolist(), target.tolist()
        for i in range(n, len(s)):
            a_s, a_t = (softmax([cosine(x[i], y) for y in x[:n]], 0.7) for x in (s, t))
            total += 0.49 * sum(q * math.log(q / p) for p, q in zip(a_s, a_t, strict=True))
        return total / (len(s) - n)

    def test_one_sample_is_no_relation(self):
        loss = SelfSupervisedSimilarityLoss()
        assert loss(torch.randn(1, 3), torch.randn(2, 3), torch.randn(1, 4), torch.randn(2, 4)) == 0

    def test_more_views_than_samples(self):
        loss = SelfSupervisedSimilarityLoss(reduction="none")
        rows = loss(torch.randn(2, 3), torch.randn(6, 3), torch.randn(2, 5), torch.randn(6, 5))
        assert rows.shape == (6,) and (rows >= 0).all()

    def test_lengths_do_not_matter(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(7 * input, target), self.build()(input, target))

    def test_sample_is_told_from_its_reduction(self):
        with pytest.raises(ShapeMismatchError):
            SelfSupervisedSimilarityLoss()(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 3), torch.zeros(2, 3))
