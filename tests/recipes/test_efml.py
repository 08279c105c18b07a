# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""EFML and MF-OMKT: the gradients of a step, against the methods restated."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from monai_kd.handlers import Weights
from monai_kd.recipes import Distillation, load_recipe
from tests.recipes import plain

LABEL = torch.tensor([0, 2, 1, 0, 2])


def apply(name: str, student: nn.Module, epoch: int, **given) -> tuple[Distillation, Tensor, dict[str, Tensor]]:
    """The recipe at an epoch of 30, the value of its objective on a batch, and the batch."""
    method = load_recipe(name)(student, example=plain.EXAMPLE, max_epochs=30, **given)
    for network in method.inferer.networks.values():
        network.double()
    (schedule,) = [h for h in method.handlers if isinstance(h, Weights)]
    schedule.set(epoch)
    batch = {"image": torch.randn(5, 2, 6, 6, dtype=torch.float64), "label": LABEL}
    return method, plain.loss_of(method, student, batch), batch


def hard(z: Tensor) -> Tensor:
    return plain.cross_entropy(z, LABEL)


def test_a_step_of_efml_is_the_method_restated():
    student = plain.Net(3)
    method, loss, batch = apply("efml", student, 4, layers={"student": "map"})
    peer, fusion = (method.inferer.networks[name] for name in ("peer", "fusion"))
    z = [net(batch["image"]) for net in (student, peer)]
    maps = [net.map(net.norm(net.conv(batch["image"]))) for net in (student, peer)]
    z_f, z_e = fusion(*maps), (z[0] + z[1]) / 2
    soft = plain.kl(z[0], z_f, 3.0) + plain.kl(z[1], z_f, 3.0) + plain.kl(z_f, z_e, 3.0)
    soft = soft + plain.kl(z[0], z[1]) + plain.kl(z[1], z[0])
    total = hard(z[0]) + hard(z[1]) + hard(z_f) + hard(z_e) + math.exp(-5 * (1 - 4 / 8) ** 2) * soft
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    learning = (student, peer, fusion)
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    assert {id(p) for p in method.parameters} == {id(p) for net in learning for p in net.parameters()}


def test_a_step_of_mf_omkt_is_the_method_restated():
    student, kind = plain.Net(3), plain.Net(5)
    given = {"layers": plain.LAYERS, "teacher_def": kind, "teacher_channels": 5}
    method, loss, batch = apply("mf_omkt", student, 1, **given)
    peer, fusion = (method.inferer.networks[name] for name in ("peer", "fusion"))
    assert not peer.conv.weight.equal(kind.conv.weight)
    z = [net(batch["image"]) for net in (student, peer)]
    z_f = fusion(*(net.map(net.norm(net.conv(batch["image"]))) for net in (student, peer)))
    soft = plain.kl(z[0], z[1], 3.0) + plain.kl(z[1], z[0], 3.0) + plain.kl(z[0], z_f, 3.0) + plain.kl(z[1], z_f, 3.0)
    total = hard(z[0]) + hard(z[1]) + hard(z_f) + math.exp(-5 * (1 - 1 / 3) ** 2) * soft
    assert loss.item() == pytest.approx(total.item(), rel=1e-9)
    learning = (student, peer, fusion)
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    assert {id(p) for p in method.parameters} == {id(p) for net in learning for p in net.parameters()}
