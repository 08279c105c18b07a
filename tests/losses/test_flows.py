# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import flows
from monai_kd.losses.flows import flow_total


@pytest.fixture(params=[2**18, 12], ids=["whole", "sliced"], autouse=True)
def sliced(request, monkeypatch):
    monkeypatch.setattr(flows, "_CHUNK", request.param)


def layers(apart: float | None = None, places: int = 30) -> list[torch.Tensor]:
    """A, C, B and D in float32; with `apart`, the student differs by that much."""
    b, d = torch.randn(3, 2, places), torch.randn(3, 4, places)
    if apart is None:
        return [torch.randn(3, 2, 30), torch.randn(3, 4, 30), b, d]
    return [b + apart * torch.randn(b.shape), d + apart * torch.randn(d.shape), b, d]


def loop(a: torch.Tensor, c: torch.Tensor, b: torch.Tensor, d: torch.Tensor) -> float:
    def products(first: torch.Tensor, second: torch.Tensor) -> list[float]:
        pairs = [(p, q) for f, s in zip(first.tolist(), second.tolist(), strict=True) for p in f for q in s]
        return [sum(x * y for x, y in zip(p, q, strict=True)) / len(p) for p, q in pairs]

    return sum((x - y) ** 2 for x, y in zip(products(a, c), products(b, d), strict=True))


@pytest.mark.parametrize("apart", [None, 1e-4])
def test_is_that_of_plain_loops_near_and_far(apart):
    maps = [x.double() for x in layers(apart)]
    assert flow_total(*maps).item() == pytest.approx(loop(*maps), rel=1e-9)


def test_the_teachers_maps_may_have_another_size():
    maps = [x.double() for x in layers(places=11)]
    assert flow_total(*maps).item() == pytest.approx(loop(*maps), rel=1e-10)


@pytest.mark.parametrize("apart", [None, 1e-3, 1e-5])
@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_float32_is_as_good_near_far_and_at_every_scale_of_the_student(apart, factor):
    a, c, b, d = layers(apart)
    a, c = (factor * a).requires_grad_(), c.requires_grad_()
    wide = [x.detach().double() for x in (a, c, b, d)]
    wide[0].requires_grad_(), wide[1].requires_grad_()
    value, expected = flow_total(a, c, b, d), flow_total(*wide)
    assert value.item() == pytest.approx(loop(*(x.detach() for x in wide)), rel=1e-5)
    made, exact = torch.autograd.grad(value, (a, c)), torch.autograd.grad(expected, wide[:2])
    for x, y in zip(made, exact, strict=True):
        assert (x - y).norm() <= 1e-4 * y.norm()


@pytest.mark.parametrize("places", [5, 3])
def test_first_and_second_derivatives(places):
    a, c, b, d = (torch.randn(shape).double() for shape in ((2, 2, 5), (2, 3, 5), (2, 2, places), (2, 3, places)))
    a.requires_grad_(), c.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: flow_total(x, y, b, d), (a, c))
    assert torch.autograd.gradgradcheck(lambda x, y: flow_total(x, y, b, d), (a, c))
    assert torch.autograd.gradgradcheck(lambda y: flow_total(a.detach(), y, b, d), c)


def test_gradient_does_not_reach_the_teacher():
    maps = [x.requires_grad_() for x in layers()]
    flow_total(*maps).backward()
    assert [x.grad is not None for x in maps] == [True, True, False, False]


def test_compiled_and_mapped_forms_are_the_same():
    maps = layers(1e-2)
    expected = flow_total(*maps)
    torch._dynamo.reset()
    compiled = torch.compile(flow_total, backend="eager", fullgraph=True)(*maps)
    mapped = torch.vmap(flow_total)(*(x[None] for x in maps))
    for made in (compiled, mapped[0]):
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=0)
