# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses.hcl import HCLLoss
from monai_kd.utils import ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestHCLLoss(LossChecks):
    shapes = ((4, 5, 6), (2, 3, 8, 5), (2, 3, 2, 3, 8), (2, 3, 1, 1))
    mismatches = (
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, "same N samples"),
        ((2, 3, 4, 4), (2, 3, 4, 2), ShapeMismatchError, "`Connector`"),
        ((2, 3), (2, 3), ShapeMismatchError, "1, 2 or 3 spatial axes"),
    )

    def build(self):
        return HCLLoss()

    def oracle(self, input, target):
        """By blocks whose edges are those of adaptive pooling: from floor(i h / l) to ceil((i + 1) h / l)."""
        size, weight, total, weights = list(input.shape[2:]), 1.0, 0.0, 0.0
        for level in (max(size), 4, 2, 1):
            smaller = [min(level, edge) for edge in size]
            if weights and smaller == size:
                continue
            weight, size = (weight / 2 if weights else 1.0), smaller
            places = torch.cartesian_prod(*[torch.arange(edge) for edge in size]).reshape(-1, len(size)).tolist()
            squares = []
            for place in places:
                block = tuple(
                    slice(i * h // edge, -(-(i + 1) * h // edge))
                    for i, h, edge in zip(place, input.shape[2:], size, strict=True)
                )
                dims = tuple(range(2, input.ndim))
                apart = input[(..., *block)].mean(dims) - target[(..., *block)].mean(dims)
                squares += [x * x for x in apart.flatten().tolist()]
            total, weights = total + weight * sum(squares) / len(squares), weights + weight
        return total / weights

    @pytest.mark.parametrize("size", [(10,), (8, 16), (10, 8), (3, 10, 4)])
    def test_maps_too_large_for_a_matrix_match_the_loop_too(self, size, monkeypatch):
        monkeypatch.setattr("monai_kd.losses.hcl._FEW", 0)
        input, target = torch.randn(2, 2, 3, *size, dtype=torch.float64)
        assert self.build()(input, target).item() == pytest.approx(self.oracle(input, target), rel=1e-10)

    def test_weights_of_a_square_map(self):
        """Defect 10: maps that are not square were resized by their height."""
        d = torch.randn(2, 3, 16, 8).double()
        levels = [d, *(F.adaptive_avg_pool2d(d, k) for k in (4, 2, 1))]
        expected = sum(w * x.square().mean() for w, x in zip((1, 0.5, 0.25, 0.125), levels, strict=True)) / 1.875
        assert self.build()(d, torch.zeros_like(d)).item() == pytest.approx(expected.item(), rel=1e-10)
