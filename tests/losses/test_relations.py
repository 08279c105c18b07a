# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.grams import cosines
from monai_kd.losses.relations import cosine_similarity_matrix, distances, pairwise_distance, pooled, unit
from tests.losses.relation_checks import cosine

RELATIONS = {"cosine": (cosine_similarity_matrix, cosine), "distance": (pairwise_distance, math.dist)}
every = pytest.mark.parametrize(("relation", "of_two"), RELATIONS.values(), ids=RELATIONS)


@every
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_matches_plain_loop(relation, of_two, dtype, rtol):
    x = torch.randn(6, 4).to(dtype)
    x[3] = x[1]
    rows = x.double().tolist()
    expected = torch.tensor([[of_two(a, b) for b in rows] for a in rows], dtype=dtype)
    torch.testing.assert_close(relation(x), expected, rtol=rtol, atol=rtol)


@every
def test_gradient_is_the_derivative(relation, of_two):
    assert torch.autograd.gradcheck(relation, torch.randn(5, 3, dtype=torch.float64, requires_grad=True))


@every
def test_stacks_of_rows_are_related_each_for_itself(relation, of_two):
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(relation(x), torch.stack([relation(a) for a in x]))


@every
def test_equal_rows_and_zeros_have_a_finite_gradient(relation, of_two):
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    value = relation(x)
    value.sum().backward()
    assert value.isfinite().all() and x.grad.isfinite().all()


def test_rows_far_from_the_origin_keep_their_distances():
    """|a|^2 + |b|^2 - 2 a b would be 0 or not a number here."""
    x = torch.tensor([[1e4, 1e4], [1e4, 1e4 + 0.125]])
    assert pairwise_distance(x).tolist() == [[0.0, 0.125], [0.125, 0.0]]


def test_distances_and_cosines_of_a_gram_matrix_are_the_same():
    x = torch.randn(6, 4, dtype=torch.float64)
    x = x - x.mean(0)
    torch.testing.assert_close(distances(x @ x.T), pairwise_distance(x))
    torch.testing.assert_close(cosines(x @ x.T), cosine_similarity_matrix(x))


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 2, 3), (3, 4, 2, 3, 2)])
def test_pooled_is_the_mean_over_space(shape):
    x = torch.randn(shape, requires_grad=True)
    value = pooled(x)
    expected = [[sum(c.flatten().tolist()) / c.numel() for c in sample] for sample in x.detach().double()]
    assert value.dtype == (x.dtype if x.ndim == 2 else torch.float64)
    torch.testing.assert_close(value.double(), torch.tensor(expected, dtype=torch.float64))
    value.sum().backward()
    torch.testing.assert_close(x.grad, torch.full(shape, 12 / x.numel()))


def test_unit_leaves_zeros():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit(x).sum().backward()
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    assert x.grad.isfinite().all() and not x.grad[1].any()
