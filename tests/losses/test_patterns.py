# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import patterns
from monai_kd.losses.patterns import pattern_total


@pytest.fixture(params=[2**17, 12], ids=["whole", "sliced"], autouse=True)
def sliced(request, monkeypatch):
    monkeypatch.setattr(patterns, "_CHUNK", request.param)


def loop(s: torch.Tensor, t: torch.Tensor, dim: int) -> float:
    total = 0.0
    for maps in zip(s, t, strict=True):
        similar = []
        for x in maps:
            size = [[sum(v * v for v in row) ** 0.5 or 1.0] * x.shape[1] for row in x.tolist()]
            if dim == 1:
                size = [[sum(v * v for v in column) ** 0.5 or 1.0 for column in x.T.tolist()]] * x.shape[0]
            unit = [[v / z for v, z in zip(a, b, strict=True)] for a, b in zip(x.tolist(), size, strict=True)]
            columns = list(zip(*unit, strict=True))
            similar.append([sum(a * b for a, b in zip(p, q, strict=True)) for p in columns for q in columns])
        total += sum((a - b) ** 2 for a, b in zip(*similar, strict=True))
    return total


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("apart", [1.0, 1e-4])
def test_is_that_of_plain_loops_near_and_far(dim, apart):
    t = torch.randn(2, 4, 7).double()
    s = (t + apart * torch.randn(2, 4, 7)).requires_grad_()
    assert pattern_total(s, t, dim).item() == pytest.approx(loop(s.detach(), t, dim), rel=1e-9)
    size = float(torch.autograd.grad(pattern_total(s, t, dim), s)[0].abs().max())
    assert torch.autograd.gradcheck(lambda x: pattern_total(x, t, dim) / size, s, eps=1e-7, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("apart", [1.0, 1e-3])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_float32_is_as_good_at_every_scale(dim, apart, factor):
    t = torch.randn(2, 4, 30)
    s = (factor * (t + apart * torch.randn(2, 4, 30))).requires_grad_()
    value, expected = pattern_total(s, t, dim), pattern_total(s.double(), t.double(), dim)
    near = factor == 1.0  # otherwise the digits are lost with the scale
    assert value.item() == pytest.approx(expected.item(), rel=1e-5 if near or apart == 1 else 1e-2)
    made, exact = (torch.autograd.grad(v, s)[0] for v in (value, expected))
    assert (made - exact).norm() <= (1e-4 if near or apart == 1 else 1e-2) * exact.norm()


@pytest.mark.parametrize("dim", [1, 2])
def test_what_is_all_zeros_is_like_nothing_and_has_no_gradient(dim):
    s, t = torch.randn(1, 3, 5).double(), torch.randn(1, 3, 5).double()
    s.select(dim - 1 if dim == 2 else 2, 0)[:] = 0
    t.select(dim - 1 if dim == 2 else 2, 1)[:] = 0
    s.requires_grad_()
    value = pattern_total(s, t, dim)
    value.backward()
    assert value.item() == pytest.approx(loop(s.detach(), t, dim), rel=1e-9)
    assert s.grad.isfinite().all() and s.grad.select(dim - 1 if dim == 2 else 2, 0).abs().max() == 0


@pytest.mark.parametrize("dim", [1, 2])
def test_second_derivative(dim):
    s, t = torch.randn(1, 2, 3).double().requires_grad_(), torch.randn(1, 2, 3).double()
    assert torch.autograd.gradgradcheck(lambda x: pattern_total(x, t, dim), s)
