# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.dist import DISTLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.mask_checks import MaskChecks


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def correlation(a: list[float], b: list[float], weights: list[float] | None = None) -> float:
    w = weights or [1.0] * len(a)
    a, b = ([x - sum(map(math.prod, zip(v, w, strict=True))) / sum(w) for x in v] for v in (a, b))
    products = [sum(map(math.prod, zip(w, x, y, strict=True))) for x, y in ((a, a), (b, b), (a, b))]
    return products[2] / (math.sqrt(products[0]) * math.sqrt(products[1]) + 1e-8)


class TestDISTLoss(MaskChecks):
    scale = 2.0
    test_identical_networks_give_zero = None  # eps is added to the product of the lengths; checked below
    mismatches = (
        ((2, 3), (2, 5), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
    )

    def build(self):
        return DISTLoss(beta=2.0, gamma=3.0, temperature=1.5)

    def oracle(self, input, target, mask=None):
        w = [1.0] * (input.numel() // input.shape[1]) if mask is None else mask.flatten().tolist()
        p_s, p_t = ([softmax(row, 1.5) for row in x.movedim(1, -1).flatten(0, -2).tolist()] for x in (input, target))
        rows = [weight * (1 - correlation(a, b)) for a, b, weight in zip(p_s, p_t, w, strict=True)]
        classes = [
            1 - correlation(a, b, w)
            for a, b in zip(*(map(list, zip(*p, strict=True)) for p in (p_s, p_t)), strict=True)
        ]
        return 2.25 * (2.0 * sum(rows) / sum(w) + 3.0 * sum(classes) / len(classes))

    def test_identical_networks_give_nearly_zero(self, shape):
        """Defect 2: with the wrong sign an identical network was worse than an independent one."""
        input, target = self.pair(shape)
        same, gradient = self.run(self.build(), target.clone(), target)
        assert 0 <= same < 1e-4 and gradient.abs().max() < 1e-4
        assert same < self.build()(input, target) < self.build()(-target, target)

    def test_either_part_may_be_left_out(self, shape):
        input, target = self.pair(shape)
        parts = [DISTLoss(beta, gamma, 1.5)(input, target) for beta, gamma in ((2.0, 0.0), (0.0, 3.0))]
        torch.testing.assert_close(sum(parts), self.build()(input, target))
        assert all(part > 0 for part in parts)

    @pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (math.nan, 1.0)])
    def test_impossible_weights_are_refused(self, weights):
        with pytest.raises(ConfigError, match="beta and gamma must be finite, none below 0, not all 0"):
            DISTLoss(*weights)

    def test_dense_logits_are_rows(self, shape):
        input, target = self.pair(shape)
        flat = [x.movedim(1, -1).flatten(0, -2) for x in (input, target)]
        torch.testing.assert_close(self.build()(input, target), self.build()(*flat), rtol=1e-12, atol=0)

    def test_shifted_logits_are_the_same(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(input + 7, target), self.build()(input, target))

    def test_one_class_is_refused(self):
        with pytest.raises(ConfigError, match="softmax over one class"):
            self.build()(torch.zeros(2, 1), torch.zeros(2, 1))

    def test_term_knows_that_rows_belong_together(self):
        assert DISTLoss.relational is True
