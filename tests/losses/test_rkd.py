# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses import relations
from monai_kd.losses.rkd import RKDLoss
from monai_kd.utils import ConfigError
from tests.losses.relation_checks import RelationChecks


def huber(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def vector(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


class TestRKDLoss(RelationChecks):
    def build(self):
        return RKDLoss(distance_weight=3.0, angle_weight=5.0)

    def samples(self, features):
        return (
            [[sum(channel) / len(channel) for channel in sample] for sample in features.flatten(2).tolist()]
            if (features.ndim > 2)
            else features.tolist()
        )

    def distances(self, samples):
        d = [[math.dist(a, b) for b in samples] for a in samples]
        positive = [x for row in d for x in row if x > 0]
        mean = sum(positive) / len(positive) if positive else 1.0
        return [x / mean for row in d for x in row]

    def angles(self, samples):
        angles = []
        for j in samples:
            for i in samples:
                for k in samples:
                    a, b = vector(i, j), vector(k, j)
                    size = math.hypot(*a) * math.hypot(*b)
                    angles.append(sum(x * y for x, y in zip(a, b, strict=True)) / size if size else 0.0)
        return angles

    def oracle(self, input, target):
        s, t, total = self.samples(input), self.samples(target), 0.0
        for weight, relation in ((3.0, self.distances), (5.0, self.angles)):
            pairs = list(zip(relation(s), relation(t), strict=True))
            total += weight * sum(huber(a - b) for a, b in pairs) / len(pairs)
        return total

    def test_either_part_may_be_left_out(self, shape):
        input, target = self.pair(shape)
        parts = RKDLoss(3.0, 0.0)(input, target) + RKDLoss(0.0, 5.0)(input, target)
        torch.testing.assert_close(parts, self.build()(input, target))

    @pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 2.0), (math.nan, 1.0)])
    def test_impossible_weights_are_refused(self, weights):
        with pytest.raises(ConfigError, match="distance_weight and angle_weight must be finite, none below 0"):
            RKDLoss(*weights)

    def test_turned_shifted_and_scaled_features_relate_alike(self):
        _, target = self.pair((6, 5))
        rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
        assert self.build()(7 * target @ rotation + 3, target) < 1e-20

    def test_large_batches_lose_no_digits_in_float32(self):
        target = torch.randn(48, 16)
        input = target + 1e-3 * torch.randn(48, 16)
        value, gradient = self.run(self.build(), input, target)
        exact, direction = self.run(RKDLoss(3.0, 5.0), input.double(), target.double())
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        assert (gradient - direction).norm() <= 1e-4 * direction.norm()


@pytest.mark.parametrize("chunk", [1, 40, 2**18])
@pytest.mark.parametrize("small", [0, 2**15])
def test_angles_by_chunks_have_the_plain_gradient(chunk, small, monkeypatch):
    monkeypatch.setattr(relations, "_CHUNK", chunk)
    monkeypatch.setattr(relations, "_SMALL", small)
    x, y = (torch.randn(7, 4, dtype=torch.float64) for _ in range(2))
    s, t = (x - x.mean(0)) @ (x - x.mean(0)).T, (y - y.mean(0)) @ (y - y.mean(0)).T
    s.requires_grad_()
    plain = relations.angle_total(s, t)
    (theirs,) = torch.autograd.grad(plain, s)
    (total, mine), rtol = relations.angle_total_and_gradient(s.detach(), t), 1e-10 if small else 1e-4
    torch.testing.assert_close(total, plain, rtol=rtol, atol=0)
    # a Gram matrix is symmetric: only the symmetric part of its gradient counts
    torch.testing.assert_close(mine + mine.T, theirs + theirs.T, rtol=rtol, atol=1e-5 if not small else 1e-10)


def test_second_derivative():
    x, y = (torch.randn(4, 3, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradgradcheck(lambda x: RKDLoss(0.0, 1.0)(x, y), x.requires_grad_())


@pytest.mark.parametrize("equal", [0, 1, 5])  # rows that are the first one's equal
def test_distances_have_the_plain_gradient(equal):
    x, y = (torch.randn(6, 3, dtype=torch.float64) for _ in range(2))
    x[1 : 1 + equal] = x[0]
    s, t = ((rows - rows.mean(0)) @ (rows - rows.mean(0)).T for rows in (x, y))
    plain = relations.distance_total(s.requires_grad_(), t)
    (theirs,) = torch.autograd.grad(plain, s)
    total, mine = relations.distance_total_and_gradient(s.detach(), t)
    torch.testing.assert_close(total, plain)
    torch.testing.assert_close(mine + mine.T, theirs + theirs.T)


@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("apart", [1.0, 1e-3])  # of two samples, whose other entries are around 1
def test_samples_that_lie_together_lose_no_digits_in_float32(apart, shift):
    input, target = torch.randn(2, 12, 16) + shift
    input[1], target[1] = (x[0] + apart * torch.randn(16) for x in (input, target))
    rows = [x.clone().requires_grad_() for x in (input, input.double())]
    values = [RKDLoss(3.0, 5.0)(x, target.to(x.dtype)) for x in rows]
    (mine,), (exact,) = (torch.autograd.grad(v, x) for v, x in zip(values, rows, strict=True))
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    assert (mine - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_products_beyond_single_precision_are_made_in_double(scale):
    input, target = torch.randn(2, 6, 5)
    torch.testing.assert_close(RKDLoss()(scale * input, scale * target), RKDLoss()(input, target))
