# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from monai_kd.losses.boundary_kd import BoundaryKDLoss, boundary
from monai_kd.losses.kd import KDLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((z - max(logits)) / temperature) for z in logits]
    return [x / sum(powers) for x in powers]


def near(label: torch.Tensor, radius: int) -> list[tuple[int, ...]]:
    """Places of a class whose cube holds another class, by plain loops; negative labels are no class."""
    places = [tuple(p) for p in torch.cartesian_prod(*map(torch.arange, label.shape)).reshape(-1, label.ndim).tolist()]
    found = []
    for n, *p in places:
        cube = {
            int(label[q])
            for q in places
            if q[0] == n and all(abs(a - b) <= radius for a, b in zip(p, q[1:], strict=True)) and label[q] >= 0
        }
        found += [(n, *p)] if len(cube) > 1 and label[(n, *p)] >= 0 else []
    return found


class TestBoundaryKDLoss(LossChecks):
    test_nan_of_the_student_is_not_hidden = None  # the first place is far from every border; checked below
    shapes = ((2, 3, 8), (2, 3, 6, 5), (1, 3, 4, 3, 4))
    scale = 3.0
    mismatches = (
        ((2, 3, 4, 4), (2, 5, 4, 4), ClassMismatchError, "student has 3 classes, teacher 5"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self, **options):
        return BoundaryKDLoss(radius=1, temperature=2.0, **options)

    def extras(self, shape):
        label = torch.zeros((shape[0], *shape[2:]), dtype=torch.long)
        if label.ndim > 1 and label.shape[1]:
            label[:, label.shape[1] // 2 :] = 2
            label[:, -1:] = 1
        return {"label": label}

    def oracle(self, input, target, label):
        values = []
        for n, *p in near(label, 1):
            p_s, p_t = (softmax(x[(n, slice(None), *p)].tolist(), 2.0) for x in (input, target))
            values.append(4.0 * sum(t * math.log(t / s) for s, t in zip(p_s, p_t, strict=True)))
        return sum(values) / len(values)

    @pytest.mark.parametrize("dims", [1, 2, 3])
    @pytest.mark.parametrize("radius", [1, 2])
    def test_boundary_is_dilation_less_erosion_of_each_class(self, dims, radius):
        label = torch.randint(0, 3, (1, *[3] * dims)).repeat_interleave(3, 1)
        pool, around = getattr(F, f"max_pool{dims}d"), {"kernel_size": 2 * radius + 1, "stride": 1, "padding": radius}
        joined = torch.zeros_like(label, dtype=torch.bool)
        for c in range(3):
            mask = (label == c).float().unsqueeze(1)
            joined |= (pool(mask, **around) > -pool(-mask, **around)).squeeze(1)
        assert torch.equal(boundary(label, radius), joined)

    def test_nan_near_a_border_is_not_hidden_and_elsewhere_does_not_count(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        place = near(extras["label"], 1)[0]
        with torch.no_grad():
            input[(0, slice(None), *[0] * (len(shape) - 2))] = torch.nan
            assert self.build()(input, target, **extras).isfinite()
            input[(place[0], 0, *place[1:])] = torch.nan
        assert self.build()(input, target, **extras).isnan()

    def test_one_class_is_a_connected_zero(self, shape):
        (input, target), label = self.pair(shape), torch.ones((shape[0], *shape[2:]))
        value, gradient = self.run(self.build(), input, target, label=label)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_one_class_and_places_without_a_class_have_no_border(self, shape):
        (input, target), label = self.pair(shape), torch.ones((shape[0], *shape[2:]), dtype=torch.long)
        label[..., 2:] = -1
        value, gradient = self.run(self.build(), input, target, label=label)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_places_without_a_class_neither_count_nor_make_a_border(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        label[torch.rand(label.shape) < 0.2] = -1
        value = self.build()(input, target, label=label)
        assert value.item() == pytest.approx(self.oracle(input.detach(), target, label), rel=1e-10)
        one_hot = F.one_hot(label.clamp(min=0), 3).movedim(-1, 1) * (label >= 0).unsqueeze(1)
        assert torch.equal(self.build()(input, target, label=one_hot), value)

    def test_labels_beyond_the_classes_are_refused(self):
        input = torch.zeros(1, 3, 4, 4)
        with pytest.raises(ClassMismatchError, match="BoundaryKDLoss: a label is 255, of 3 classes the last is 2"):
            self.build()(input, input, label=torch.full((1, 4, 4), 255, dtype=torch.uint8))

    def test_is_kd_where_the_border_is_everywhere(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        value = BoundaryKDLoss(radius=9, temperature=2.0)(input, target, **extras)
        torch.testing.assert_close(value, KDLoss(2.0)(input, target))

    def test_without_reduction(self, shape):
        (input, target), extras = self.pair(shape), self.extras(shape)
        assert self.build(reduction="none")(input, target, **extras).shape == (shape[0], *shape[2:])

    @pytest.mark.parametrize("radius", [0, -1, 1.5, math.nan, math.inf])
    def test_radius_must_be_a_whole_number(self, radius):
        with pytest.raises(ConfigError, match=f"radius must be a whole number of 1 or more, got {radius}"):
            BoundaryKDLoss(radius)
