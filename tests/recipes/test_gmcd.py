# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""GMCD's second stage: every term and the gradients of a step, against the method restated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_kd.recipes import load_recipe
from tests.recipes import plain

LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 1, 0]
INDEX = torch.tensor([3, 7, 0, 10])
P, K, TAU = 2, 5, 0.07


def test_a_step_is_the_method_restated():
    student, teacher = plain.Net(3), plain.Net(5).eval()
    sizes = {"positives": P, "candidates": 3, "negatives": K}
    banks = {f"passes::{b}::network::{k}": v for b in ("bank", "average_bank") for k, v in sizes.items()}
    method = load_recipe("gmcd")(
        student,
        teacher,
        layers=plain.LAYERS,
        example=plain.EXAMPLE,
        sample_labels=LABELS,
        **banks,
        **{"contrast::positives": P},
    )
    nets = method.inferer.networks
    for network in nets.values():
        network.double()
    average = nets["average"].network
    with torch.no_grad():
        average.head.weight.add_(0.3)  # the average is not the student
    x, label = torch.randn(4, 2, 6, 6, dtype=torch.float64), torch.tensor(LABELS)[INDEX]
    batch = {"image": x, "index": INDEX, "label": label}
    kept: dict[str, Tensor] = {}
    for name in ("bank", "average_bank"):

        def note(chosen, s, t, name=name, mine=nets[name].mine):
            kept[name] = mine(chosen, s, t)
            return kept[name]

        nets[name].mine = note
    loss = plain.loss_of(method, student, batch)

    f = [net.map(net.norm(net.conv(x))) for net in (student, teacher, average.eval())]
    f = [f[0], f[1].detach(), f[2].detach()]
    hint = f[0].detach().requires_grad_()
    z_t, z_a = teacher.head(f[1].mean((2, 3))).detach(), average.head(f[2].mean((2, 3))).detach()
    heads = [nets[name].layers.output for name in ("embedding", "teacher_embedding", "average_embedding")]

    def terms(own: Tensor) -> dict[str, Tensor]:
        """From the student's map."""
        z = student.head(own.mean((2, 3)))
        g, g_t, g_a = (
            nn.functional.normalize(m.mean((2, 3)) @ h.weight.T + h.bias, dim=1)
            for m, h in zip((own, f[1], f[2]), heads, strict=True)
        )
        both = {}
        for name, other in (("bank", g_t), ("average_bank", g_a)):
            bank = nets[name]
            both[name] = plain.contrast(g, bank.target_bank, kept[name], P) + plain.contrast(
                other, bank.input_bank, kept[name], P
            )
        return {
            "label": plain.cross_entropy(z, label),
            "kd": plain.kl(z, z_t),
            "kd_average": plain.kl(z, z_a),
            "contrast": both["bank"],
            "contrast_average": both["average_bank"],
        }

    expected = terms(f[0])
    assert {k: v.item() for k, v in method.objective.values.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-8
    )
    slopes = {k: torch.autograd.grad(v, hint, retain_graph=True)[0].flatten() for k, v in terms(hint).items()}
    count = {k: sum(float(a @ b / (a.norm() * b.norm()) > 0.1) for b in slopes.values()) for k, a in slopes.items()}
    part = {"label": 1, "kd": count["kd"], "kd_average": count["kd_average"]}
    part |= {name: 0.02 * count[name] for name in ("contrast", "contrast_average")}
    total = sum(part[k] * v for k, v in expected.items())
    assert loss.item() == pytest.approx(total.item(), rel=1e-8)
    learning = (student, nets["embedding"], nets["teacher_embedding"], nets["average_embedding"])
    assert plain.same(plain.gradients(loss, *learning), plain.gradients(total, *learning))
    loss.backward()
    assert all(p.grad is None for net in (teacher, average) for p in net.parameters())
