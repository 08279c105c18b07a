# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.nets import MILModel
from torch import nn

from monai_kd.networks import AttentionPooling
from monai_kd.utils import ConfigError, ShapeMismatchError

BAG = torch.tensor([0, 0, 0, 1, 1])


def test_matches_plain_loop():
    pooling, x = AttentionPooling(3, 2, hidden=4).double(), torch.randn(5, 3, 2, 2, dtype=torch.float64)
    keep = torch.tensor([True, False, True, True, True])
    out = pooling(x, BAG, keep)
    v, w = pooling.attention[0], pooling.attention[2]
    for b, members in enumerate(([0, 2], [3, 4])):
        h = [x[i].flatten(1).mean(1) for i in members]
        scores = [float(w.weight[0] @ torch.tanh(v.weight @ f + v.bias) + w.bias) for f in h]
        powers = [math.exp(s) for s in scores]
        mean = sum(p * f for p, f in zip(powers, h, strict=True)) / sum(powers)
        torch.testing.assert_close(out["logits"][b], pooling.myfc.weight @ mean + pooling.myfc.bias)
        torch.testing.assert_close(out["scores"][members].tolist(), scores)
    assert out["scores"].shape == (5,)


def test_takes_the_weights_of_monais_model_and_gives_its_answer():
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = MILModel(2, backbone=backbone, backbone_num_features=3)
    pooling, image = AttentionPooling(3, 2, hidden=2048), torch.randn(4, 6, 1, 5, 5)
    pooling.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("net.")})
    features = model(image, no_head=True).flatten(0, 1)
    out = pooling(features, torch.arange(4).repeat_interleave(6))
    torch.testing.assert_close(out["logits"], model(image))


def test_order_and_company_do_not_matter():
    pooling, x = AttentionPooling(3, 2, embedding=[4, 4]).double(), torch.randn(5, 3, dtype=torch.float64)
    both = pooling(x, BAG)["logits"]
    torch.testing.assert_close(pooling(x[3:], BAG[3:] - 1)["logits"], both[1:])
    order = torch.tensor([4, 1, 0, 3, 2])
    torch.testing.assert_close(pooling(x[order], BAG[order])["logits"], both)


def test_large_scores_are_finite_and_a_bag_without_any_keeps_all():
    pooling = AttentionPooling(3, 2, hidden=4)
    pooling.attention[2].weight.data.mul_(1e4)
    x = torch.randn(5, 3, requires_grad=True)
    none = torch.zeros(5, dtype=torch.bool)
    out = pooling(x, BAG, none)["logits"]
    assert out.equal(pooling(x, BAG)["logits"])
    out.sum().backward()
    assert out.isfinite().all() and x.grad.isfinite().all()


def test_dropped_instances_get_no_gradient():
    pooling, x = AttentionPooling(3, 2, hidden=4), torch.randn(5, 3, requires_grad=True)
    pooling(x, BAG, torch.tensor([True, False, True, True, True]))["logits"].square().sum().backward()
    assert x.grad[1].abs().sum() == 0 and (x.grad[[0, 2, 3, 4]].abs().sum(1) > 0).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(ShapeMismatchError, match="one bag per instance"):
        AttentionPooling(3, 2)(torch.zeros(4, 3), BAG)
    with pytest.raises(ConfigError, match="give an embedding"):
        AttentionPooling(3, 2, dropout=0.5)
