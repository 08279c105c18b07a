# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What is true of every loss of features that reads where the classes are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from monai_kd.utils import ClassMismatchError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks

Vector = list[float]


def mean(vectors: list[Vector]) -> Vector:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def regions(features: Tensor, label: Tensor) -> list[tuple[list[Vector], list[int]]]:
    """The feature vectors of an image, place by place, and the class of each."""
    places = [(sample.flatten(1).mT.tolist(), y.flatten().tolist()) for sample, y in zip(features, label, strict=True)]
    return [(vectors, [int(c) for c in classes]) for vectors, classes in places]


def prototypes(vectors: list[Vector], classes: list[int]) -> dict[int, Vector]:
    present = sorted({c for c in classes if c >= 0})
    return {c: mean([v for v, y in zip(vectors, classes, strict=True) if y == c]) for c in present}


class RegionChecks(LossChecks):
    """Checks of a loss of maps with a label of 4 classes of which the last never occurs."""

    shapes = ((4, 5, 6), (2, 3, 4, 5), (2, 3, 2, 3, 4))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 3, 4, 2), ShapeMismatchError, "`Connector`"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def extras(self, shape: tuple[int, ...]) -> dict[str, Any]:
        g = torch.Generator().manual_seed(3)
        label = torch.randint(-1, 3, (shape[0], *shape[2:]), generator=g)
        return {"label": label}

    def test_label_may_be_one_hot_or_have_a_channel(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"].clamp(min=0)
        expected = self.build()(input, target, label=label)
        one_hot = torch.nn.functional.one_hot(label, 4).movedim(-1, 1)
        for other in (label.unsqueeze(1), one_hot, one_hot.bool(), label.float()):
            assert torch.equal(self.build()(input, target, label=other), expected)

    def test_a_place_of_no_class_may_be_all_zero_in_a_one_hot_label(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        assert (label < 0).any()
        one_hot = torch.nn.functional.one_hot(label.clamp(min=0), 4).movedim(-1, 1) * (label >= 0).unsqueeze(1)
        assert torch.equal(self.build()(input, target, label=one_hot), self.build()(input, target, label=label))

    def test_overlapping_classes_are_refused(self):
        input, label = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 4)
        label[1, 1:3, 2, 2] = 1
        with pytest.raises(ClassMismatchError, match=f"{type(self.build()).__name__}: .*sum to 2: they overlap"):
            self.build()(input, input, label=label)

    def test_label_of_a_larger_image_takes_the_nearest(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"]
        larger = label
        for axis in range(1, label.ndim):
            larger = larger.repeat_interleave(3, axis)
        assert torch.equal(self.build()(input, target, label=larger), self.build()(input, target, label=label))

    def test_an_image_without_a_class_does_not_count(self, shape):
        (input, target), label = self.pair(shape), self.extras(shape)["label"].clamp(min=0)
        label[0] = -1
        value, gradient = self.run(self.build(), input, target, label=label)
        expected, _ = self.run(self.build(), input[1:], target[1:], label=label[1:])
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
        assert torch.equal(gradient[0], torch.zeros_like(gradient[0]))

    def test_no_class_at_all_is_a_connected_zero(self, shape):
        (input, target), label = self.pair(shape), torch.full((shape[0], *shape[2:]), -1)
        value, gradient = self.run(self.build(), input, target, label=label)
        assert value == 0 and torch.equal(gradient, torch.zeros_like(gradient))

    def test_impossible_labels_are_refused(self):
        input = torch.zeros(2, 3, 4, 4)
        with pytest.raises(ClassMismatchError, match="a label is 4, of 4 classes the last is 3"):
            self.build()(input, input, label=torch.full((2, 4, 4), 4))
        with pytest.raises(ClassMismatchError, match="one-hot of 3 classes, not 4"):
            self.build()(input, input, label=torch.zeros(2, 3, 4, 4))
        with pytest.raises(ShapeMismatchError, match=r"label is \(2,\)"):
            self.build()(input, input, label=torch.zeros(2))


class AnyWidth:
    """A further check where student and teacher may differ in width."""

    def test_widths_may_differ(self):
        input, target = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 5, 4, 4).double()
        extras = self.extras(tuple(input.shape))
        expected = self.oracle(input, target, **extras)
        assert self.build()(input, target, **extras).item() == pytest.approx(expected, rel=1e-10)
