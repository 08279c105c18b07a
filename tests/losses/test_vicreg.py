# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.vicreg import VICRegLoss
from monai_kd.utils import ConfigError
from tests.losses.view_checks import ViewChecks


class TestVICRegLoss(ViewChecks):
    count, largest = 3, 30.0  # the gradient grows with the third power
    shape = (5, 4)

    def build(self):
        return VICRegLoss(invariance_weight=3.0, variance_weight=2.0, covariance_weight=0.7)

    def oracle(self, *views):
        n, d = len(views[0]), len(views[0][0])
        ordered = [(a, b) for i, a in enumerate(views) for j, b in enumerate(views) if i != j]
        apart = [
            sum((x - y) ** 2 for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)) for a, b in ordered
        ]
        total = 3.0 * sum(apart) / len(ordered) / (n * d)
        for view in views:
            mean = [sum(column) / n for column in zip(*view, strict=True)]
            centred = [[x - m for x, m in zip(row, mean, strict=True)] for row in view]
            cov = [[sum(row[i] * row[j] for row in centred) / n for j in range(d)] for i in range(d)]
            total += 2.0 * sum(max(0.0, 1 - (cov[i][i] + 1e-4) ** 0.5) for i in range(d)) / d / len(views)
            total += 0.7 * sum(cov[i][j] ** 2 for i in range(d) for j in range(d) if i != j) / d / len(views)
        return total

    @pytest.mark.parametrize("shape", [(3, 8), (8, 3)])
    def test_both_ways_of_multiplying_agree(self, shape):
        views = self.views(shape=shape)
        assert self.build()(*views).item() == pytest.approx(self.oracle(*(v.tolist() for v in views)), rel=1e-10)

    def test_one_view_is_refused(self):
        with pytest.raises(ConfigError, match="two views or more are compared, got 1"):
            self.build()(torch.zeros(2, 3))

    @pytest.mark.parametrize("wrong", [{"variance_weight": -1.0}, {"eps": 0.0}])
    def test_numbers_that_are_no_weights_are_refused(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            VICRegLoss(**wrong)
