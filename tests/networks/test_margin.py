# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.networks import batch_norm_margin
from monai_kd.utils import ConfigError


def test_is_the_mean_of_the_negative_values():
    layer = nn.BatchNorm1d(4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, -0.5, 1.0]))
        layer.bias.copy_(torch.tensor([0.0, -1.0, 0.3, 1.5]))
    values = layer.bias + layer.weight * torch.randn(2_000_000, 4)
    expected = torch.stack([column[column < 0].mean() for column in values.T])
    torch.testing.assert_close(batch_norm_margin(layer), expected.detach(), rtol=0.01, atol=0)


def test_far_from_zero_it_stays_a_number():
    layer = nn.BatchNorm2d(3)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([60.0, -60.0, 0.0]))
        layer.weight.copy_(torch.tensor([1.0, 1.0, 0.0]))
    margin = batch_norm_margin(layer)
    assert margin.isfinite().all() and (margin <= 0).all()
    torch.testing.assert_close(margin[1], torch.tensor(-60.0))


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.BatchNorm2d(3, affine=False)])
def test_other_layers_are_refused(layer):
    with pytest.raises(ConfigError, match="a BatchNorm with weight and bias is wanted"):
        batch_norm_margin(layer)
