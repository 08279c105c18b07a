# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.data.box_utils import box_pair_giou

from monai_kd.losses.box_transfer import BoxTransferLoss, generalized_iou
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def corners(box):
    d = len(box) // 2
    half = [max(x, 0.0) / 2 for x in box[d:]]
    return [x - h for x, h in zip(box, half, strict=False)], [x + h for x, h in zip(box, half, strict=False)]


def volume(low, high):
    size = 1.0
    for a, b in zip(low, high, strict=True):
        size *= max(b - a, 0.0)
    return size


def giou(a, b):
    (low_a, high_a), (low_b, high_b) = corners(a), corners(b)
    both = volume(list(map(max, low_a, low_b)), list(map(min, high_a, high_b)))
    either = volume(low_a, high_a) + volume(low_b, high_b) - both
    hull = volume(list(map(min, low_a, low_b)), list(map(max, high_a, high_b)))
    return (both / either if either else 0.0) - ((hull - either) / hull if hull else 0.0)


class TestBoxTransferLoss(LossChecks):
    shapes = ((4, 2), (4, 4), (3, 6))
    volume = (64, 6)
    mismatches = (
        ((2, 4), (2, 6), ShapeMismatchError, r"student is \(2, 4\), teacher \(2, 6\)"),
        ((2, 5), (2, 5), ShapeMismatchError, "centre and size"),
        ((2, 4, 1), (2, 4, 1), ShapeMismatchError, "centre and size"),
    )

    def pair(self, shape, dtype=torch.float64, apart=None):
        d = shape[1] // 2
        boxes = [torch.cat([torch.rand(shape[0], d), 0.2 + torch.rand(shape[0], d)], 1) for _ in range(2)]
        input = boxes[1] + apart * torch.randn(shape) if apart else boxes[0]
        return [input.to(dtype).requires_grad_(), boxes[1].to(dtype)]

    def build(self):
        return BoxTransferLoss()

    def oracle(self, input, target):
        total = 0.0
        for a, b in zip(input.tolist(), target.tolist(), strict=True):
            square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)
            total += 0.2 * (1 - giou(a, b)) + 0.8 * square
        return total / max(len(input), 1)

    def test_boxes_apart_attract_each_other(self):
        left = torch.tensor([[0.2, 0.5, 0.1, 0.1]], requires_grad=True)
        BoxTransferLoss(mse_weight=0)(left, torch.tensor([[0.8, 0.5, 0.1, 0.1]])).backward()
        assert left.grad[0, 0] < 0  # to the right is down

    def test_boxes_of_no_size_are_finite(self):
        flat = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, -1.0, 0.2]])
        for target in (flat, torch.rand(2, 4)):
            self.assert_finite(flat.clone(), target)

    def test_a_size_below_zero_is_none(self):
        below, none, box = torch.tensor([[0.5, 0.5, -1.0, 0.2]]), torch.tensor([[0.5, 0.5, 0.0, 0.2]]), torch.rand(1, 4)
        assert torch.equal(generalized_iou(below, box), generalized_iou(none, box))

    def test_only_samples_with_a_box_count(self, shape):
        input, target = self.pair(shape)
        mask = torch.arange(shape[0]) > 0
        torch.testing.assert_close(self.build()(input, target, mask=mask), self.build()(input[1:], target[1:]))
        assert self.build()(input, target, mask=torch.zeros(shape[0], dtype=torch.bool)) == 0

    def test_what_stands_where_there_is_no_box_does_not_matter(self, shape):
        input, target = self.pair(shape)
        mask, expected = torch.arange(shape[0]) > 0, self.build()(input[1:], target[1:]).detach()
        target[0] = torch.nan
        value, gradient = self.run(self.build(), input, target, mask=mask)
        torch.testing.assert_close(value, expected)
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0])) and gradient.isfinite().all()

    def test_mask_that_does_not_fit_is_refused(self):
        with pytest.raises(ShapeMismatchError, match=r"mask is \(2,\), student \(3, 4\)"):
            self.build()(torch.rand(3, 4), torch.rand(3, 4), mask=torch.ones(2))

    def test_reductions_agree(self, shape):
        input, target = self.pair(shape)
        rows = BoxTransferLoss(reduction="none")(input, target)
        assert rows.shape == shape[:1]
        torch.testing.assert_close(rows.mean(), self.build()(input, target))
        torch.testing.assert_close(rows.sum(), BoxTransferLoss(reduction="sum")(input, target))

    def test_overlap_is_that_of_monai(self):
        a, b = (torch.cat([torch.rand(5, 3), torch.rand(5, 3)], 1) for _ in range(2))
        corners = [torch.cat([x[:, :3] - x[:, 3:] / 2, x[:, :3] + x[:, 3:] / 2], 1) for x in (a, b)]
        torch.testing.assert_close(generalized_iou(a, b), box_pair_giou(*corners), atol=1e-5, rtol=1e-4)

    def test_impossible_settings_are_refused(self):
        for weight in (-1, float("inf"), float("nan")):
            with pytest.raises(ConfigError, match="weights must be finite and not negative"):
                BoxTransferLoss(giou_weight=weight)
