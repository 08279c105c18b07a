# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.losses.divergence import (
    bernoulli_kl,
    exp_remainder,
    sigmoid_difference,
    softmax_difference,
    softmax_kl,
)


def test_exp_remainder_is_exact_near_zero_and_far_from_it():
    u = torch.cat([torch.logspace(-6, 1.5, 60), -torch.logspace(-6, 4, 60), torch.tensor([0.05, -0.05])])
    exact = u.double()
    series = sum(exact**n / torch.exp(torch.lgamma(torch.tensor(n + 1.0, dtype=torch.float64))) for n in range(2, 30))
    exact = torch.where(exact.abs() < 1, series, exact.expm1() - exact)
    torch.testing.assert_close(exp_remainder(u).double(), exact, rtol=5e-6, atol=0)


@pytest.mark.parametrize("divergence", [softmax_kl, bernoulli_kl])
@pytest.mark.parametrize("apart", [0.0, 1e-2, 1.0])
def test_divergences_have_two_derivatives(divergence, apart):
    target = torch.randn(2, 3, 2, dtype=torch.float64)
    input = (target + apart * torch.randn_like(target)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: divergence(x, target, 2.0), input, atol=1e-8)
    assert torch.autograd.gradgradcheck(lambda x: divergence(x, target, 2.0), input, atol=1e-8)


@pytest.mark.parametrize("divergence", [softmax_kl, bernoulli_kl])
def test_divergences_work_per_sample_under_torch_func(divergence):
    input, target = torch.randn(2, 5, 3, dtype=torch.float64)
    gradients = torch.func.vmap(torch.func.grad(lambda s, t: divergence(s[None], t[None], 2.0).sum()))(input, target)
    joint = torch.func.grad(lambda s: divergence(s, target, 2.0).sum())(input)
    torch.testing.assert_close(gradients, joint)


@pytest.mark.parametrize("apart", [1e-4, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("dim", [1, -1])
def test_softmax_kl_is_the_textbook(apart, dim):
    target = torch.randn(5, 4, 6, dtype=torch.float64)
    input = target + apart * torch.randn_like(target)
    s, t = input.div(3).log_softmax(dim), target.div(3).log_softmax(dim)
    expected = (t.exp() * (t - s)).sum(dim)
    torch.testing.assert_close(softmax_kl(input, target, 3.0, dim), expected, rtol=1e-5, atol=1e-15)


def test_softmax_kl_sees_a_class_the_teacher_excludes():
    """The teacher gives it e^-100, which is no float32, and the student half."""
    value = softmax_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -100.0]]))
    assert value.item() == pytest.approx(0.693147, rel=1e-5)
    value = softmax_kl(torch.tensor([[0.0, -100.0]]), torch.tensor([[0.0, 0.0]]))
    assert value.item() == pytest.approx(50 - 0.693147, rel=1e-5)


def test_bernoulli_kl_is_softmax_kl_of_two_classes():
    for apart in (1e-4, 1.0, 100.0):
        target = 3 * torch.randn(50, dtype=torch.float64)
        input = target + apart * torch.randn_like(target)
        two = [torch.stack([torch.zeros_like(x), x], 1) for x in (input, target)]
        torch.testing.assert_close(bernoulli_kl(input, target, 2.0), softmax_kl(*two, 2.0), rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize("apart", [1e-4, 1.0, 1e5])
def test_differences_of_probabilities_are_exact(apart):
    target = torch.randn(50, 7)
    input = target + apart * torch.randn(50, 7)
    s, t = input.double(), target.double()
    torch.testing.assert_close(
        softmax_difference(input, target).double(), s.softmax(1) - t.softmax(1), rtol=2e-5, atol=1e-12
    )
    torch.testing.assert_close(sigmoid_difference(input, target).double(), s.sigmoid() - t.sigmoid(), rtol=1e-5, atol=0)
