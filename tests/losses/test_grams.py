# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import grams as module
from monai_kd.losses.functional import gram
from monai_kd.losses.grams import cosines, grams


@pytest.fixture(params=[2**18, 6], ids=["whole", "sliced"])
def sliced(request, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", request.param)


def loop(x: torch.Tensor) -> torch.Tensor:
    rows = x.double().tolist()
    return torch.tensor([[sum(a * b for a, b in zip(r, q, strict=True)) for q in rows] for r in rows]).double()


@pytest.mark.parametrize("widths", [(7, 7), (7, 5)])
def test_are_those_of_plain_loops(widths, sliced):
    s, t = (torch.randn(4, width).double() for width in widths)
    for given, x in zip(grams(s, t), (s, t), strict=True):
        torch.testing.assert_close(given, loop(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shapes", [((4, 6), (4, 6)), ((4, 6), (4, 5)), ((4, 2, 3), (4, 6))])
def test_differ_as_the_plain_ones_do(shapes, sliced):
    a, b = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    torch.testing.assert_close(torch.sub(*grams(a.flatten(1), b.flatten(1))), gram(a) - gram(b))


def test_the_difference_of_near_ones_is_exact(sliced):
    t = torch.randn(4, 50)
    s = t + 1e-5 * torch.randn(4, 50)
    made = torch.sub(*grams(s, t))
    expected = s.double() @ s.double().T - t.double() @ t.double().T
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-10)
    rounded = (s @ s.T - t @ t.T).double()
    assert (rounded - expected).abs().max() > 100 * (made - expected).abs().max()


def test_far_ones_are_as_exact_as_their_own_product(sliced):
    """A student a thousand times smaller, in some rows or in all."""
    t = torch.randn(4, 50)
    for factor in (torch.full((4, 1), 1e-3), torch.tensor([[1.0], [1e-3], [1.0], [1e-3]])):
        s = factor * (t + 1e-3 * torch.randn(4, 50))
        torch.testing.assert_close(grams(s, t)[0], s.double() @ s.double().T, rtol=1e-5, atol=1e-8)


def test_gradient_is_the_students_alone(sliced):
    s, t = torch.randn(4, 7).double().requires_grad_(), torch.randn(4, 7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: grams(x, t)[0], s)
    assert torch.autograd.gradgradcheck(lambda x: grams(x, t)[0], s)
    torch.sub(*grams(s, t)).square().sum().backward()
    assert t.grad is None


def test_compiled_and_mapped_forms_are_the_same():
    t = torch.randn(4, 50)
    for s in (t + 1e-3 * torch.randn(4, 50), torch.randn(4, 50), torch.randn(4, 30)):
        expected = grams(s, t)
        torch._dynamo.reset()
        for made in (
            torch.compile(grams, backend="eager", fullgraph=True)(s, t),
            torch.vmap(grams)(s[None], t[None]),
        ):
            for a, b in zip(made, expected, strict=True):
                torch.testing.assert_close(a.reshape(4, 4), b, rtol=1e-5, atol=1e-5)


def test_cosine_of_nothing_is_zero():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [-6.0, -8.0]]).double()
    assert cosines(x @ x.T).tolist() == [[0, 0, 0], [0, 1, -1], [0, -1, 1]]
