# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from monai_kd.networks import PrototypeHead
from monai_kd.utils import ConfigError, ShapeMismatchError


def build(dims: int = 2) -> PrototypeHead:
    return PrototypeHead(dims, in_channels=3, num_classes=3, per_class=2, features=4).double()


def restated(head: PrototypeHead, map: Tensor) -> tuple[list, list, list]:
    """Squared distances, places and logits of each image, in plain loops."""
    features, size = head.add_on(map), map.shape[2:]
    distances, places, logits = [], [], []
    for f in features:
        nearest = []
        for p in head.prototypes:
            at = {x: sum((f[(c, *x)] - p[c]).item() ** 2 for c in range(4)) for x in product(*map_range(size))}
            nearest.append(min((d, x) for x, d in at.items()))
        distances.append([d for d, _ in nearest])
        places.append([[(i + 0.5) / n for i, n in zip(x, size, strict=True)] for _, x in nearest])
        weights = head.classifier.weight.tolist()
        logits.append([sum(w * math.exp(-d / 4) for w, (d, _) in zip(row, nearest, strict=True)) for row in weights])
    return distances, places, logits


def map_range(size: torch.Size) -> list[range]:
    return [range(n) for n in size]


@pytest.mark.parametrize("size", [(5,), (3, 4), (2, 3, 4)], ids=str)
def test_answer_and_places_match_plain_loops(size):
    head, map = build(len(size)), torch.randn(2, 3, *size, dtype=torch.float64)
    distances, places, logits = restated(head, map)
    answer, nearest = head(map), head.nearest(map)
    torch.testing.assert_close(answer["distances"], torch.tensor(distances).double())
    torch.testing.assert_close(answer["logits"], torch.tensor(logits).double())
    torch.testing.assert_close(nearest.distance, answer["distances"])
    torch.testing.assert_close(nearest.place, torch.tensor(places))
    for n, m in product(range(2), range(6)):
        apart = (nearest.patch[n, m] - head.prototypes[m]).square().sum()
        assert apart.item() == pytest.approx(distances[n][m])


def test_own_class_speaks_for_and_others_against_at_first():
    expected = [[1, 1, -0.5, -0.5, -0.5, -0.5], [-0.5, -0.5, 1, 1, -0.5, -0.5], [-0.5, -0.5, -0.5, -0.5, 1, 1]]
    assert build().classifier.weight.tolist() == expected


def test_gradient_is_the_derivative():
    head, map = build(), torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(head(x).values()), map)
    head(map)["logits"].square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in head.parameters())


def test_what_comes_in_can_be_left_alone():
    head, map = build(), torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    free = head(map)["logits"]
    head.detach = True
    answer = head(map)["logits"]
    assert answer.equal(free)
    answer.square().sum().backward()
    assert map.grad is None and head.prototypes.grad.abs().max() > 0


def test_a_patch_is_at_distance_zero_in_half_precision_too():
    head, map = build().float(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        head.prototypes[0] = head.nearest(map).patch[1, 0]
    assert head(map)["distances"][1, 0] < 1e-6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = head(map)["distances"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, head(map)["distances"], rtol=0.05, atol=0.02)


def test_what_does_not_fit_is_named():
    with pytest.raises(ShapeMismatchError, match=r"\(2, 3\).*map of 3 channels with 2 axes"):
        build()(torch.zeros(2, 3))
    with pytest.raises(ShapeMismatchError, match="map of 3 channels"):
        build()(torch.zeros(2, 4, 5, 5))
    with pytest.raises(ConfigError, match="per_class must be at least 1, got 0"):
        PrototypeHead(2, 3, 3, per_class=0)
