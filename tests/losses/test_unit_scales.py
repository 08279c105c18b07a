# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import unit_scales
from monai_kd.losses.unit_scales import UnitScales, unit_apart_total


@pytest.fixture(params=[2**17, 10, 3], ids=["whole", "rows", "sliced"], autouse=True)
def sliced(request, monkeypatch):
    monkeypatch.setattr(unit_scales, "_CHUNK", request.param)


def loop(s: torch.Tensor, t: torch.Tensor, p: float) -> float:
    total = 0.0
    for a, b in zip(s.tolist(), t.tolist(), strict=True):
        size_a, size_b = ((sum(x * x for x in row) ** 0.5) or 1.0 for row in (a, b))
        total += sum(abs(x / size_a - y / size_b) ** p for x, y in zip(a, b, strict=True))
    return total


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("apart", [1.0, 1e-4])
def test_is_that_of_plain_loops_near_and_far(p, apart):
    t = torch.randn(4, 7).double()
    s = (t + apart * torch.randn(4, 7)).requires_grad_()
    assert unit_apart_total(s, t, p).item() == pytest.approx(loop(s.detach(), t, p), rel=1e-9)
    size = float(torch.autograd.grad(unit_apart_total(s, t, p), s)[0].abs().max())
    assert torch.autograd.gradcheck(lambda x: unit_apart_total(x, t, p) / size, s, eps=1e-8, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-30, 1e-22, 1e19, 1e30])
def test_no_square_overflows_or_vanishes(factor):
    t = torch.randn(4, 7)
    s = (factor * torch.randn(4, 7)).requires_grad_()
    value = unit_apart_total(s, factor * t)
    assert value.item() == pytest.approx(loop(s.detach().double() / factor, t.double(), 2.0), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, s)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_second_derivative():
    s, t = torch.randn(2, 3).double().requires_grad_(), torch.randn(2, 3).double()
    assert torch.autograd.gradgradcheck(lambda x: unit_apart_total(x, t), s)


@pytest.mark.parametrize("dim", [1, 2])
def test_scales_make_lengths_one(dim):
    x, t = torch.randn(4, 6).double(), torch.randn(4, 6).double()
    t[0] = x[0] + 1e-3  # near in a row, far in others
    apart, u = UnitScales.of(x, t, dim, step=4).apart(x, t)
    torch.testing.assert_close(u.norm(dim=dim - 1), torch.ones_like(u.norm(dim=dim - 1)))
    torch.testing.assert_close(apart, torch.nn.functional.normalize(x, dim=dim - 1) - u)
