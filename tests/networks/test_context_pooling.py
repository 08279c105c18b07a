# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses import HintLoss
from monai_kd.networks import ContextPooling
from monai_kd.utils import ShapeMismatchError


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_is_the_mean_under_the_attention(dims):
    pooling, x = ContextPooling(dims, 3), torch.randn(2, 3, *[3] * dims)
    given = pooling(x, x[:, :, :2])["input"]
    w = pooling.attend.weight.flatten().tolist()
    for n in range(2):
        places = x[n].flatten(1).T.tolist()
        powers = [math.exp(sum(a * b for a, b in zip(w, place, strict=True))) for place in places]
        for c in range(3):
            expected = sum(p * place[c] for p, place in zip(powers, places, strict=True)) / sum(powers)
            assert given[n, c].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_constants_stay_and_large_halves_are_finite():
    context = ContextPooling(2, 3)(torch.full((1, 3, 4, 4), 2.0), torch.full((1, 3, 2, 2), 3.0))
    torch.testing.assert_close(context["input"], torch.full((1, 3), 2.0))
    torch.testing.assert_close(context["target"], torch.full((1, 3), 3.0))
    large = torch.full((1, 3, 4, 4), 3e4).bfloat16()
    assert ContextPooling(2, 3).bfloat16()(large, large)["input"].isfinite().all()


def test_attention_learns_with_the_student():
    pooling, x = ContextPooling(2, 3), torch.randn(2, 3, 4, 4, requires_grad=True)
    context = pooling(x, torch.randn(2, 3, 4, 4))
    HintLoss()(context["input"], context["target"]).backward()
    assert pooling.attend.weight.grad.abs().max() > 0 and x.grad.abs().max() > 0


def test_other_channels_are_refused():
    with pytest.raises(ShapeMismatchError, match="put a `Connector`"):
        ContextPooling(2, 3)(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 4))
