# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import GatedFusion, MeanLogits, PooledFusion
from monai_kd.utils import ConfigError


def maps(dims: int) -> list[torch.Tensor]:
    return [torch.randn(3, 4, *[6] * dims), torch.randn(3, 5, *[3] * dims)]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gated_maps_are_added_up_at_the_smaller_size(dims):
    fusion, (a, b) = GatedFusion(dims, [4, 5], num_classes=2).eval(), maps(dims)
    first, second = fusion.to_width[0](a), fusion.to_width[1](b)
    first = first.reshape(3, 4, *[n for _ in range(dims) for n in (3, 2)]).mean([3 + 2 * i for i in range(dims)])
    pooled = torch.cat([x.flatten(2).mean(2) for x in (first, second)], 1)
    rows = []
    for n in range(3):
        g = (fusion.gate.weight @ pooled[n] + fusion.gate.bias).softmax(0)
        fused = fusion.fuse((g[0] * first[n] + g[1] * second[n]).unsqueeze(0))
        rows.append(fusion.classifier(fused.flatten(2).mean(2))[0])
    torch.testing.assert_close(fusion(a, b), torch.stack(rows))


def test_pooled_features_start_with_equal_shares():
    fusion, (a, b) = PooledFusion([4, 5], num_classes=2, features=7), maps(2)
    features = [project(x.mean((2, 3))) for project, x in zip(fusion.to_width, (a, b), strict=True)]
    torch.testing.assert_close(fusion(a, b), fusion.classifier((features[0] + features[1]) / 2))
    fusion.share.data = torch.tensor([100.0, 0.0])
    torch.testing.assert_close(fusion(a, b), fusion.classifier(features[0]))


@pytest.mark.parametrize("fusion", [GatedFusion(2, [4, 5], 2), PooledFusion([4, 5], 2)])
def test_everything_learns(fusion):
    fusion(*maps(2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


def test_the_ensemble_is_the_mean():
    a, b, c = torch.randn(3, 2, 4)
    torch.testing.assert_close(MeanLogits()(a, b, c), (a + b + c) / 3)


def test_wrong_numbers_are_refused():
    for build in (lambda: GatedFusion(2, [4], 2), lambda: PooledFusion([4], 2)):
        with pytest.raises(ConfigError, match="nothing to fuse"):
            build()
    for fusion in (GatedFusion(2, [4, 5], 2), PooledFusion([4, 5], 2)):
        with pytest.raises(ConfigError, match="2 maps are wanted, got 1"):
            fusion(maps(2)[0])
