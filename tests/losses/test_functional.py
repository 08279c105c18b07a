# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_kd.losses.functional import (
    attention_map,
    full_precision,
    reduce_rows,
    resize_map,
    to_float,
    unit_difference,
    unit_rows,
)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bool, torch.bool),
        (torch.int64, torch.int64),
    ],
    ids=str,
)
def test_only_halves_are_upcast(dtype, expected):
    assert to_float(torch.zeros(2, dtype=dtype)).dtype == expected


def test_to_float_strips_metadata_and_leaves_the_rest():
    assert type(to_float(MetaTensor(torch.zeros(2)))) is torch.Tensor
    assert to_float("text") == "text" and to_float(None) is None


def test_full_precision_turns_autocast_off_and_upcasts_keywords():
    @full_precision
    def product(x, *, y):
        assert x.dtype == y.dtype == torch.float32
        return x @ y

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(torch.ones(2, 2), y=torch.ones(2, 2, dtype=torch.float16)).dtype == torch.float32
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.bfloat16  # and on again


def test_mean_over_nothing_is_a_connected_zero():
    for rows, mask in [(torch.ones(0, 4), None), (torch.ones(2, 4), torch.zeros(2, 4))]:
        value = reduce_rows(rows.requires_grad_(), mask=mask)
        value.backward()
        assert value == 0 and rows.grad.isfinite().all()


def test_weights_below_one_are_not_taken_for_nothing():
    assert reduce_rows(torch.tensor([2.0, 4.0]), mask=torch.tensor([0.25, 0.25])) == 3.0


def test_no_gradient_flows_into_the_mask():
    mask = torch.rand(3, requires_grad=True)
    assert not reduce_rows(torch.rand(3), mask=mask).requires_grad


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_unit_rows_have_length_one_at_any_scale(factor):
    x = torch.randn(3, 5)
    torch.testing.assert_close(unit_rows(factor * x), x / x.norm(dim=1, keepdim=True))


def test_unit_row_of_zeros_has_a_finite_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    unit_rows(x).sum().backward()
    assert torch.equal(unit_rows(x), torch.zeros(2, 3)) and x.grad.abs().max() <= 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("apart", [1e-5, 0.1, 1.0, 1e3])
def test_unit_difference_is_exact(scale, apart):
    b, change = torch.randn(30, 5), apart * torch.randn(30, 5)
    a, exact = b + change, (b.double(), change.double())
    expected = unit_rows(exact[0] + exact[1]) - unit_rows(exact[0])
    difference = unit_difference(scale * a, scale * b, scale * change)
    assert (difference - expected).norm(dim=1).div(expected.norm(dim=1)).max() < 1e-5


def test_unit_difference_has_the_gradient_of_the_plain_form():
    b = torch.randn(3, 5, dtype=torch.float64)
    for apart in (1e-2, 10.0):
        a = (b + apart * torch.randn_like(b)).requires_grad_()
        weight = torch.randn_like(b)
        plain = torch.autograd.grad((weight * (unit_rows(a) - unit_rows(b))).sum(), a)
        for change in (None, a - b):
            torch.testing.assert_close(torch.autograd.grad((weight * unit_difference(a, b, change)).sum(), a), plain)


def test_unit_difference_from_and_to_zero():
    x, zero = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    torch.testing.assert_close(unit_difference(x, zero), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(unit_difference(zero, x), -torch.tensor([[0.6, 0.8]]))
    assert torch.equal(unit_difference(zero, zero), zero)


def test_attention_map_averages_powers_over_channels():
    x = torch.tensor([[[1.0, -2.0], [3.0, 0.0]]])
    assert attention_map(x).tolist() == [[5.0, 2.0]]
    assert attention_map(x, p=1).tolist() == [[2.0, 1.0]]
    assert attention_map(x, p=3).tolist() == [[14.0, 4.0]]


@pytest.mark.parametrize("size", [(3,), (3, 5), (2, 3, 5)])
def test_resize_map_keeps_the_mean_of_equal_blocks(size):
    x = torch.rand(2, *(2 * n for n in size))
    small = resize_map(x, size)
    assert small.shape == (2, *size)
    torch.testing.assert_close(small.flatten(1).mean(1), x.flatten(1).mean(1))
    assert resize_map(small, size) is small
