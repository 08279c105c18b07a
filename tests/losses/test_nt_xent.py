# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.nt_xent import NTXentLoss
from tests.losses.relation_checks import cosine
from tests.losses.view_checks import ViewChecks


class TestNTXentLoss(ViewChecks):
    def build(self):
        return NTXentLoss(temperature=0.3)

    def oracle(self, one, other):
        views, n, total = one + other, len(one), 0.0
        for i, x in enumerate(views):
            g = [cosine(x, y) / 0.3 for y in views]
            total -= g[(i + n) % (2 * n)] - math.log(sum(math.exp(v) for j, v in enumerate(g) if j != i))
        return total / (2 * n)

    def test_views_may_change_places(self):
        a, b = self.views()
        torch.testing.assert_close(self.build()(a, b), self.build()(b, a))

    def test_a_small_loss_keeps_its_digits(self):
        views = [(3 * torch.eye(6) + 1e-2 * torch.randn(6, 6)).requires_grad_() for _ in range(2)]
        exact = [v.detach().double().requires_grad_() for v in views]
        value, expected = (NTXentLoss(temperature=0.07)(*v) for v in (views, exact))
        assert value < 1e-4 and value.item() == pytest.approx(expected.item(), rel=1e-5)
        for a, b in zip(torch.autograd.grad(value, views), torch.autograd.grad(expected, exact), strict=True):
            assert (a.double() - b).norm() <= 1e-4 * b.norm()
