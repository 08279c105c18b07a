# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_kd.losses.chunked import sum_in_chunks


def values(s: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """One value a place: every place for itself."""
    return (s.exp() - t).square().sum(1) * w


def tensors(*shape: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    s, t, w = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype), torch.rand(shape[0], *shape[2:])
    return [s.requires_grad_(), t, w.to(dtype)]


@pytest.mark.parametrize("shape", [(5, 3), (3, 4, 6), (1, 4, 7), (0, 3, 2), (2, 3, 0)], ids=str)
@pytest.mark.parametrize("entries", [1, 9, 25, 10**6])
@pytest.mark.parametrize("places", [True, False])
def test_equals_the_sum_in_one_piece_however_it_is_cut(shape, entries, places):
    s, t, w = tensors(*shape)
    places = places and len(shape) > 2
    total, expected = sum_in_chunks(values, [s], [t, w], places, entries), values(s, t, w).sum()
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    (mine,), (theirs,) = (torch.autograd.grad(5 * v, s) for v in (total, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("entries", [1, 9, 10**6])
def test_what_places_share_gets_the_gradient_of_all(entries):
    s, t, w = tensors(3, 4, 6)
    c = torch.randn(3, 4, 1, dtype=torch.float64, requires_grad=True)

    def shifted(s, t, w, c):
        return values(s + c, t, w)

    total = sum_in_chunks(shifted, [s], [t, w], places=True, entries=entries, shared=[c])
    expected = shifted(s, t, w, c).sum()
    mine, theirs = (torch.autograd.grad(v, [s, c]) for v in (total, expected))
    torch.testing.assert_close((total, mine), (expected, theirs), rtol=1e-12, atol=0)


@pytest.mark.parametrize("double", [True, False])
def test_values_are_computed_in_the_precision_that_is_asked_for(double):
    s, t, w = tensors(4, 5, dtype=torch.float32)
    seen = set()

    def noted(*parts):
        seen.update(x.dtype for x in parts)
        return values(*parts)

    total = sum_in_chunks(noted, [s], [t, w], entries=5, double=double)
    total.backward()
    assert seen == {torch.float64 if double else torch.float32}
    assert total.dtype == s.grad.dtype == torch.float32


def test_second_derivative():
    s, t, w = tensors(2, 3, 2)
    assert torch.autograd.gradgradcheck(lambda x: sum_in_chunks(values, [x], [t, w]), s)


def test_a_retained_graph_gives_the_same_again():
    s, t, w = tensors(4, 5)
    total = sum_in_chunks(values, [s], [t, w])
    first = torch.autograd.grad(total, s, retain_graph=True)[0]
    kept = first.clone()
    assert torch.equal(torch.autograd.grad(2 * total, s)[0], 2 * kept) and torch.equal(first, kept)


def test_several_inputs_get_their_gradients_and_others_none():
    s, t, w = tensors(4, 5)
    t.requires_grad_(), w.requires_grad_()
    mine = torch.autograd.grad(sum_in_chunks(values, [s, t], [w], entries=5), [s, t])
    theirs = torch.autograd.grad(values(s, t, w).sum(), [s, t])
    torch.testing.assert_close(mine, theirs)
    assert not sum_in_chunks(values, [s.detach()], [t, w]).requires_grad


def test_inputs_stay_as_they_are_and_float32_is_exact():
    s, t, w = tensors(6, 5, dtype=torch.float32)
    before = s.detach().clone()
    total = sum_in_chunks(values, [s], [t, w])
    assert total.dtype == torch.float32 and torch.equal(s, before) and s.grad is None and s.is_leaf
    exact = values(s.double(), t.double(), w.double()).sum()
    assert total.item() == pytest.approx(exact.item(), rel=1e-7)


def test_works_under_torch_func():
    s, t, w = tensors(4, 5)
    made = torch.func.grad(lambda x: sum_in_chunks(values, [x], [t, w]))(s.detach())
    torch.testing.assert_close(made, torch.autograd.grad(values(s, t, w).sum(), s)[0])
