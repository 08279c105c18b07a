# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.attention_kd import AttentionKDLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp((z - max(scores)) / temperature) for z in scores]
    return [x / sum(powers) for x in powers]


class TestAttentionKDLoss(LossChecks):
    shapes = ((4, 6), (3, 2))
    volume = (8, 4096)
    scale = 2.0
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, r"student is \(2, 3\), teacher \(2, 5\)"),
        ((2, 3, 4), (2, 3, 4), ShapeMismatchError, r"give scores and mask \[N, I\]"),
    )

    def build(self, **options):
        return AttentionKDLoss(temperature=1.5, **options)

    def oracle(self, input, target, mask=None):
        bags = []
        for n, (s, t) in enumerate(zip(input.tolist(), target.tolist(), strict=True)):
            there = [i for i in range(len(s)) if mask is None or mask[n, i]]
            if there:
                a_s, a_t = (softmax([x[i] for i in there], 1.5) for x in (s, t))
                bags.append(sum(q * math.log(q / p) for p, q in zip(a_s, a_t, strict=True)))
        return sum(bags) / len(bags)

    def test_padding_and_empty_bags_do_not_count(self):
        input, target = torch.randn(4, 6).double().requires_grad_(), torch.randn(4, 6).double()
        mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1] * 6, [0] * 6, [0, 0, 0, 0, 1, 1]]).bool()
        expected = self.oracle(input.detach(), target, mask)
        with torch.no_grad():
            input[0, 5], target[2, 0] = torch.nan, torch.inf
        value = self.build()(input, target, mask=mask)
        assert value.item() == pytest.approx(expected, rel=1e-10)
        value.backward()
        assert torch.equal(input.grad[~mask], torch.zeros_like(input.grad[~mask]))

    def test_no_instance_at_all_is_a_connected_zero(self):
        value, gradient = self.run(self.build(), *self.pair((2, 3)), mask=torch.zeros(2, 3))
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_without_reduction(self):
        input, target = self.pair((4, 6))
        assert self.build(reduction="none")(input, target).shape == (4,)

    def test_wrong_mask_is_refused(self):
        with pytest.raises(ShapeMismatchError, match=r"mask \(3,\)"):
            self.build()(torch.zeros(2, 3), torch.zeros(2, 3), mask=torch.ones(3))
