# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.info_nce import InfoNCELoss
from tests.losses.relation_checks import cosine
from tests.losses.view_checks import ViewChecks


class TestInfoNCELoss(ViewChecks):
    refusal = r"student is \(5, 4\), teacher \(5, 1\)"

    def build(self):
        return InfoNCELoss(temperature=0.3)

    def oracle(self, student, teacher):
        g = [[cosine(s, t) / 0.3 for t in teacher] for s in student]
        total = 0.0
        for i in range(len(g)):
            for others in (g[i], [row[i] for row in g]):
                total -= g[i][i] - math.log(sum(math.exp(x) for x in others))
        return total / (2 * len(g))

    def test_pairs_that_belong_together_cost_less(self):
        x = torch.randn(6, 4)
        assert self.build()(x, x) < self.build()(x, x.roll(1, 0))

    def test_term_knows_that_rows_belong_together(self):
        assert InfoNCELoss.relational is True

    def test_a_small_loss_keeps_its_digits(self):
        views = [(3 * torch.eye(6) + 1e-2 * torch.randn(6, 6)).requires_grad_() for _ in range(2)]
        exact = [v.detach().double().requires_grad_() for v in views]
        value, expected = (InfoNCELoss(temperature=0.07)(*v) for v in (views, exact))
        assert value < 1e-4 and value.item() == pytest.approx(expected.item(), rel=1e-5)
        for a, b in zip(torch.autograd.grad(value, views), torch.autograd.grad(expected, exact), strict=True):
            assert (a.double() - b).norm() <= 1e-4 * b.norm()
