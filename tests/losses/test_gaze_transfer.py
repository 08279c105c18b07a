# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.gaze_transfer import GazeTransferLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestGazeTransferLoss(LossChecks):
    test_identical_networks_give_zero = None  # scores and heat are not alike; the minimum is checked below
    test_different_networks_give_more = None
    test_near_the_teacher_no_digit_is_lost = None  # checked below, near the minimum
    shapes = ((4, 1, 6), (2, 1, 4, 5), (2, 1, 2, 3, 4))
    volume = (4, 1, 32, 32, 32)
    mismatches = (
        ((2, 1, 4, 4), (1, 1, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 1, 4, 4), (2, 3, 4, 4), ShapeMismatchError, "one map a sample"),
        ((2, 1), (2, 1), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return GazeTransferLoss(temperature=2.0)

    def oracle(self, input, target):
        values = []
        for e, h in zip(input.flatten(1).tolist(), target.flatten(1).tolist(), strict=True):
            h = [max(x, 0.0) for x in h]
            powers = [math.exp(x / 2) for x in e]
            if sum(h) > 0:
                pairs = [(x / sum(h), p / sum(powers)) for x, p in zip(h, powers, strict=True)]
                values.append(sum(g * math.log(g / a) for g, a in pairs if g > 0))
        return sum(values) / max(len(values), 1)

    def test_the_minimum_is_the_heat_itself(self, shape):
        heat = torch.rand(shape, dtype=torch.float64) + 0.1
        value, gradient = self.run(self.build(), 2 * heat.log(), heat)
        assert abs(value) < 1e-12 and gradient.abs().max() < 1e-12
        near = (2 * heat.log() + 1e-3 * torch.randn(shape)).float()
        expected = self.oracle(near.double(), heat.float().double())
        assert self.build()(near, heat.float()).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)

    def test_samples_without_heat_are_left_out(self, shape):
        input, target = self.pair(shape)
        target[0] = -1.0
        value, gradient = self.run(self.build(), input, target)
        torch.testing.assert_close(value, self.build()(input[1:], target[1:]).detach())
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0]))
        assert self.build()(input, torch.zeros_like(target)) == 0

    def test_scale_of_the_heat_does_not_matter(self, shape):
        input, target = self.pair(shape)
        torch.testing.assert_close(self.build()(input, 100 * target), self.build()(input, target))

    def test_heat_of_a_larger_image_is_averaged(self):
        scores, heat = torch.randn(2, 1, 3, 2).double(), torch.rand(2, 1, 6, 6).double()
        pooled = torch.nn.functional.adaptive_avg_pool2d(heat, (3, 2))
        torch.testing.assert_close(self.build()(scores, heat), self.build()(scores, pooled))

    def test_heat_may_be_a_mask_or_counts(self, shape):
        input, counts = self.pair(shape)[0], torch.randint(0, 9, shape)
        large = counts.repeat_interleave(2, -1)
        for dtype in (torch.bool, torch.uint8, torch.int64):
            expected = self.build()(input, counts.to(dtype).double())
            for heat in (counts, large):
                torch.testing.assert_close(self.build()(input, heat.to(dtype)), expected)

    def test_heat_of_any_scale_is_pooled(self):
        input, heat = torch.randn(2, 1, 4, 4), torch.rand(2, 1, 8, 8)
        for factor in (1e-30, 3e38):
            torch.testing.assert_close(self.build()(input, factor * heat), self.build()(input, heat))

    def test_places_that_cannot_be_looked_at_are_free_where_there_is_no_heat(self):
        scores, heat = torch.tensor([[[0.0, -torch.inf, 1.0]]]), torch.tensor([[[1.0, 0.0, 3.0]]])
        value, gradient = self.run(self.build(), scores, heat)
        seen = [0, 2]
        expected = self.run(self.build(), scores[..., seen], heat[..., seen])
        torch.testing.assert_close((value, gradient[..., seen]), expected)
        assert gradient[..., 1] == 0
        assert self.build()(scores, torch.ones(1, 1, 3)) == torch.inf

    def test_scores_of_samples_without_heat_do_not_matter(self, shape):
        input, target = self.pair(shape)
        target[0] = 0
        with torch.no_grad():
            input[0] = torch.nan
        value, gradient = self.run(self.build(), input, target)
        assert value.isfinite() and gradient.isfinite().all()

    def test_features_are_scored_by_their_energy(self):
        features, heat = torch.randn(2, 3, 4, 5).double().requires_grad_(), torch.rand(2, 1, 4, 5).double()
        energy = features.square().mean(1, keepdim=True)
        value, gradient = self.run(self.build(), features, heat)
        assert value.item() == pytest.approx(self.oracle(energy, heat), rel=1e-10)
        assert torch.autograd.gradcheck(lambda x: self.build()(x, heat), features)
        assert gradient.shape == features.shape

    def test_reductions_agree(self, shape):
        input, target = self.pair(shape)
        rows = GazeTransferLoss(2.0, reduction="none")(input, target)
        torch.testing.assert_close(rows.mean(), self.build()(input, target))
        torch.testing.assert_close(rows.sum(), GazeTransferLoss(2.0, reduction="sum")(input, target))

    def test_impossible_settings_are_refused(self):
        with pytest.raises(ConfigError, match="temperature"):
            GazeTransferLoss(temperature=0)
        with pytest.raises(ConfigError, match="reduction"):
            GazeTransferLoss(reduction="avg")
