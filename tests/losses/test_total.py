# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The sums whose gradient is made in the forward equal the plain divergences, however they are differentiated."""

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import total
from monai_kd.losses.divergence import bernoulli_kl, softmax_kl
from monai_kd.losses.total import total_bernoulli_kl, total_softmax_kl

PAIRS = [
    pytest.param(total_softmax_kl, softmax_kl, id="softmax"),
    pytest.param(total_bernoulli_kl, lambda s, t, T: bernoulli_kl(s, t, T).sum(1), id="bernoulli"),
]


def logits(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(shape, dtype=dtype).requires_grad_(), torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
@pytest.mark.parametrize("shape", [(7, 5), (1, 5), (3, 4, 6), (2, 3, 4, 5), (1, 3, 2, 3, 4), (3, 2, 0)], ids=str)
@pytest.mark.parametrize("chunk", [1, 8, 17, 2**18])
def test_equals_the_plain_sum_however_it_is_cut(fast, plain, shape, chunk, monkeypatch):
    monkeypatch.setattr(total, "_CHUNK", chunk)
    input, target = logits(*shape)
    weight = torch.rand(shape[0], *shape[2:], dtype=torch.float64)
    for w in (None, weight, weight.unsqueeze(1)):
        rows = plain(input, target, 3.0)
        expected = (rows if w is None else rows * weight).sum()
        value = fast(input, target, 3.0, w)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-15)
        (mine,), (theirs,) = (torch.autograd.grad(5 * v, input) for v in (value, expected))
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("apart", [1e-4, 1e-3, 1e-2, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("shape", [(300, 100), (2, 5, 60, 60), (1, 3, 20, 20, 20)], ids=str)
def test_large_tensors_lose_no_digits_in_float32(shape, apart):
    target = 3 * torch.randn(shape)
    input = (target + apart * torch.randn(shape)).requires_grad_()
    value = total_softmax_kl(input, target, 4.0)
    (gradient,) = torch.autograd.grad(value, input)
    exact = input.detach().double().requires_grad_()
    log_s, log_t = (x.div(4.0).log_softmax(1) for x in (exact, target.double()))
    expected = (log_t.exp() * (log_t - log_s)).sum()
    (direction,) = torch.autograd.grad(expected, exact)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (gradient - direction).norm() <= 1e-4 * direction.norm()


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_second_derivative(fast, plain):
    input, target = logits(2, 3, 2)
    weight = torch.rand(2, 2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: fast(x, target, 2.0, weight), input, atol=1e-8)


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_a_gradient_that_has_a_graph_is_the_same(fast, plain):
    input, target = logits(4, 5, 3)
    for weight in (None, torch.rand(4, 3, dtype=torch.float64)):
        first = torch.autograd.grad(3 * fast(input, target, 2.0, weight), input)[0]
        second = torch.autograd.grad(3 * fast(input, target, 2.0, weight), input, create_graph=True)[0]
        assert second.requires_grad
        torch.testing.assert_close(second, first, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_a_retained_graph_gives_the_same_again(fast, plain):
    input, target = logits(4, 5)
    value = fast(input, target, 2.0)
    first = torch.autograd.grad(value, input, retain_graph=True)[0]
    kept = first.clone()
    second = torch.autograd.grad(3 * value, input)[0]
    assert torch.equal(first, kept)
    torch.testing.assert_close(second, 3 * kept, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_works_per_sample_under_torch_func(fast, plain):
    input, target = torch.randn(2, 5, 3, dtype=torch.float64)
    each = torch.func.vmap(torch.func.grad(lambda s, t: fast(s[None], t[None], 2.0)))(input, target)
    torch.testing.assert_close(each, torch.func.grad(lambda s: fast(s, target, 2.0))(input))


@pytest.mark.parametrize(("fast", "plain"), PAIRS)
def test_a_network_in_front_gets_its_gradient(fast, plain):
    """The gradient is scaled in its place: what comes before must still see the right one, in half precision too."""
    layer, x = torch.nn.Linear(4, 3), torch.randn(6, 4)
    target = torch.randn(6, 3)
    value = 0.5 * fast(layer(x), target, 2.0)
    expected = 0.5 * plain(layer(x), target, 2.0).sum()
    (mine,), (theirs,) = (torch.autograd.grad(v, layer.weight) for v in (value, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_without_gradient_none_is_made():
    input, target = (x.detach() for x in logits(4, 5))
    assert not total_softmax_kl(input, target).requires_grad
