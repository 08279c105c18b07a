# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch

from monai_kd.losses.pkt import PKTLoss
from tests.losses.relation_checks import RelationChecks, cosine


class TestPKTLoss(RelationChecks):
    def build(self):
        return PKTLoss()

    def neighbours(self, features):
        samples = features.flatten(1).tolist()
        alike = [[(1 + cosine(a, b)) / 2 for b in samples] for a in samples]
        return [p / sum(row) for row in alike for p in row]

    def oracle(self, input, target):
        pairs = list(zip(self.neighbours(input), self.neighbours(target), strict=True))
        return sum(t * math.log(t / s) for s, t in pairs) / len(pairs)

    def test_is_never_negative(self):
        for apart in (1e-6, 1e-4, 1e-2):
            input, target = self.pair((64, 16), torch.float32, apart=apart)
            assert self.build()(input, target) >= 0
        for value in torch.tensor([0.8302518725395203, 0.7644292116165161]):  # all alike, but for the last digit
            assert 0 <= self.build()(torch.zeros(3, 18), value.repeat(3, 18)) <= 1e-15

    def test_half_precision_volumes_have_a_gradient(self):
        """Defect 9: it was 0 with a gradient of 0."""
        input, target = (torch.randn(4, 8, 8, 8, 8, dtype=torch.float16) for _ in range(2))
        value, gradient = self.run(self.build(), input, target, factor=2.0**16)
        assert value > 0 and gradient.abs().max() > 0

    def test_opposite_samples_are_finite(self):
        opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        other = opposite.flip(1) + 0.1
        for input, target in ((opposite, other), (other, opposite), (opposite, opposite)):
            self.assert_finite(input, target)
            input = input.double().requires_grad_()
            first, plain = (
                torch.autograd.grad(self.build()(input, target.double()), input, create_graph=g)[0]
                for g in (False, True)
            )
            torch.testing.assert_close(first, plain, rtol=1e-12, atol=1e-15)
