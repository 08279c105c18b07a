# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import cmath

import numpy
import pytest
import torch

from monai_kd.losses.low_rank import LowRankLoss, shrink_tubal_rank
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.relation_checks import RelationChecks


def relations(features):
    rows = features.flatten(1).tolist()
    gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
    sizes = [sum(x * x for x in row) ** 0.5 for row in gram]
    return [[x / size for x in row] for row, size in zip(gram, sizes, strict=True)]


def shrunk(views, threshold):
    """The low-rank part by a Fourier sum and a singular value decomposition a slice, in loops."""
    n = len(views[0])
    result = [[[0.0] * n for _ in range(n)] for _ in views]
    for f in range(n):
        wave = [cmath.exp(-2j * cmath.pi * f * j / n) for j in range(n)]
        piece = [[sum(view[i][j] * wave[j] for j in range(n)) for view in views] for i in range(n)]
        u, s, v = numpy.linalg.svd(numpy.array(piece), full_matrices=False)
        for i in range(n):
            for k in range(len(views)):
                low = sum(u[i][r] * max(s[r] - threshold, 0.0) * v[r][k] for r in range(len(s)))
                for j in range(n):
                    result[k][i][j] += (low * wave[j].conjugate()).real / n
    return result


class TestLowRankLoss(RelationChecks):
    test_identical_networks_give_zero = None  # the singular values shrink all the same
    test_gradient_is_the_derivative = None  # the low-rank part moves with the student and is held; checked below
    test_gradient_has_a_derivative = None  # likewise
    test_order_of_the_samples_does_not_matter = None  # a Fourier transform runs along them

    def build(self):
        return LowRankLoss(rank_weight=0.3, penalty_weight=0.7)

    def oracle(self, input, target):
        views = [relations(input), relations(target)]
        low = shrunk(views, 0.3 / 0.7)
        entries = [
            (a - e) ** 2
            for view, part in zip(views, low, strict=True)
            for row, other in zip(view, part, strict=True)
            for a, e in zip(row, other, strict=True)
        ]
        return 0.35 * sum(entries)

    def test_the_low_rank_part_is_a_constant(self, shape):
        """The gradient is that of A alone: mu (A - E) dA."""
        input, target = self.pair(shape)
        self.build()(input, target).backward()
        made = input.grad.clone()
        with torch.no_grad():
            a = torch.stack([torch.tensor(relations(x), dtype=torch.float64) for x in (input, target)], 2)
            e = shrink_tubal_rank(a, 0.3 / 0.7)[..., 0]
        gram = input.flatten(1) @ input.flatten(1).T
        own = gram / gram.norm(dim=1, keepdim=True)
        (expected,) = torch.autograd.grad(0.35 * (own - e).square().sum(), input)
        torch.testing.assert_close(made, expected)

    def test_more_views(self):
        views = [torch.randn(4, width).double() for width in (3, 4, 5)]
        low = shrunk([relations(v) for v in views], 0.3 / 0.7)
        apart = torch.tensor([relations(v) for v in views]) - torch.tensor(low)
        assert self.build()(*views).item() == pytest.approx(0.35 * apart.square().sum().item(), rel=1e-6)

    def test_without_a_threshold_nothing_is_lost(self):
        a = torch.randn(5, 5, 3, dtype=torch.float64)
        torch.testing.assert_close(shrink_tubal_rank(a, 0.0), a)
        assert LowRankLoss(rank_weight=0.0)(a[0], a[1]) < 1e-25

    def test_equal_views_stay_equal(self):
        a = torch.randn(5, 5, 1, dtype=torch.float64).expand(-1, -1, 4)
        low = shrink_tubal_rank(a, 0.5)
        torch.testing.assert_close(low, low[..., :1].expand_as(low))

    def test_impossible_numbers_are_refused(self):
        with pytest.raises(ConfigError, match="rank_weight must not be negative"):
            LowRankLoss(rank_weight=-1)
        with pytest.raises(ConfigError, match="penalty_weight must be"):
            LowRankLoss(penalty_weight=0)
        with pytest.raises(ShapeMismatchError, match="there is one view"):
            LowRankLoss()(torch.ones(2, 2))
