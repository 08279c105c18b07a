# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch

from monai_kd.losses.class_relation import ClassRelationLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(z - max(logits)) for z in logits]
    return [x / sum(powers) for x in powers]


class TestClassRelationLoss(LossChecks):
    shapes = ((4, 5), (3, 2))
    volume = (8, 32)
    mismatches = (
        ((2, 3), (2, 4), ShapeMismatchError, r"teacher is \(2, 4\), its centres \(4, 3\)"),
        ((2, 3), (1, 3), ShapeMismatchError, "same samples and classes"),
        ((2, 3, 1), (2, 3, 1), ShapeMismatchError, r"embeddings \[N, D\]"),
    )

    def build(self):
        return ClassRelationLoss(temperature=0.3)

    def extras(self, shape):
        g = torch.Generator().manual_seed(1)
        centers = torch.nn.functional.normalize(torch.randn(4, shape[1], generator=g))
        return {"input_centers": centers, "target_centers": centers}

    def oracle(self, input, target, input_centers, target_centers):
        total = 0.0
        for g_s, g_t in zip(input.tolist(), target.tolist(), strict=True):
            r_s, r_t = (
                softmax([sum(a * b for a, b in zip(g, c, strict=True)) / 0.3 for c in centers.tolist()])
                for g, centers in ((g_s, input_centers), (g_t, target_centers))
            )
            total += sum(t * (math.log(t) - math.log(s)) for s, t in zip(r_s, r_t, strict=True))
        return total / len(input)

    def test_a_class_that_was_never_seen_is_left_out(self):
        (input, target), extras = self.pair((4, 5), torch.float32), self.extras((4, 5))
        expected = self.build()(input, target, **extras)
        zero = torch.zeros(1, 5)
        more = {name: torch.cat([x, zero]) for name, x in extras.items()}
        torch.testing.assert_close(self.build()(input, target, **more), expected)
        for name, x in extras.items():
            one_sided = {**more, name: torch.cat([x, zero + 1])}
            torch.testing.assert_close(self.build()(input, target, **one_sided), expected)

    def test_spaces_may_differ_in_width(self):
        input, target = torch.randn(3, 5), torch.randn(3, 7)
        assert self.build()(input, target, torch.randn(4, 5), torch.randn(4, 7)).isfinite()

    def test_centres_get_no_gradient(self):
        centers = torch.randn(4, 5, requires_grad=True)
        self.build()(torch.randn(3, 5, requires_grad=True), torch.randn(3, 5), centers, centers).backward()
        assert centers.grad is None
