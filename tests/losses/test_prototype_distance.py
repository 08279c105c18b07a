# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_kd.losses import PrototypeClusterLoss, PrototypeSeparationLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import HALVES, inductor

LOSSES = {"cluster": PrototypeClusterLoss(3), "separation": PrototypeSeparationLoss(3, margin=4)}
every = pytest.mark.parametrize("name", LOSSES)
LABEL = torch.tensor([0, 2, 1, -1, 2])


def pair(dtype: torch.dtype = torch.float64) -> Tensor:
    """Distances of 5 images to 2 prototypes of each of 3 classes."""
    return (3 * torch.rand(5, 6)).to(dtype).requires_grad_()


def restated(name: str, distances: Tensor, label: Tensor) -> float:
    rows = []
    for d, y in zip(distances.tolist(), label.tolist(), strict=True):
        chosen = [x for m, x in enumerate(d) if (m // 2 == y) == (name == "cluster")]
        rows += [min(chosen)] if y >= 0 else []
    mean = sum(rows) / len(rows)
    return mean if name == "cluster" else max(0.0, 4 - mean)


@every
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_matches_plain_loop(name, dtype, rtol):
    distances = pair(dtype)
    value = LOSSES[name](distances, LABEL)
    expected = restated(name, distances.detach().double(), LABEL)
    assert expected > 0 and value.dtype == dtype and value.item() == pytest.approx(expected, rel=rtol)


@every
def test_gradient_is_the_derivative_and_reaches_the_labelled_only(name):
    distances = pair()
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, LABEL), distances)
    LOSSES[name](distances, LABEL).backward()
    assert (distances.grad.abs().amax(1) > 0).tolist() == [True, True, True, False, True]


def test_images_far_from_the_prototypes_of_others_are_left_alone():
    distances = torch.full((2, 6), 5.0, requires_grad=True)
    value = LOSSES["separation"](distances, torch.tensor([0, 1]))
    value.backward()
    assert value == 0 and not distances.grad.any()


def test_images_at_a_prototype_of_their_class_are_left_alone():
    distances = torch.rand(2, 6)
    distances[0, 1] = distances[1, 2] = 0
    assert LOSSES["cluster"](distances, torch.tensor([0, 1])) == 0


@every
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("size", [0.0, 1.0, 6e4])
def test_constants_and_large_numbers_are_finite(name, dtype, size):
    for distances in (torch.full((5, 6), size), size * torch.rand(5, 6)):
        distances = distances.to(dtype).requires_grad_()
        value = LOSSES[name](distances, LABEL)
        value.backward()
        assert value.isfinite() and distances.grad.isfinite().all()


@every
@pytest.mark.parametrize("backend", ["eager", inductor])
def test_compiles_whole(name, backend):
    distances = pair(torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend=backend)
    values = compiled(distances, LABEL), LOSSES[name](distances, LABEL)
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value, distances)[0] for value in values))


@every
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_under_autocast_is_as_good(name, dtype):
    distances = pair(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSSES[name](distances, LABEL)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(LOSSES[name](distances.double(), LABEL).item(), rel=1e-5)
    value.backward()
    assert distances.grad.dtype == dtype and distances.grad.isfinite().all()


@every
def test_without_a_label_it_is_a_connected_zero_whatever_the_rows_hold(name):
    distances = torch.full((2, 6), torch.inf, requires_grad=True)
    value = LOSSES[name](distances, torch.tensor([-1, -1]))
    value.backward()
    assert value == 0 and not distances.grad.any()


@every
def test_nan_is_not_hidden_and_one_column_of_labels_will_do(name):
    distances = pair()
    value = LOSSES[name](distances, LABEL.unsqueeze(1))
    assert value == LOSSES[name](distances, LABEL)
    assert LOSSES[name](distances * torch.nan, LABEL).isnan()


@every
def test_what_does_not_fit_is_named(name):
    loss = LOSSES[name]
    with pytest.raises(ShapeMismatchError, match=r"distances are \(2, 5\).*each of the 3 classes"):
        loss(torch.zeros(2, 5), torch.tensor([0, 1]))
    with pytest.raises(ShapeMismatchError, match=r"label \(3,\)"):
        loss(torch.zeros(2, 6), torch.tensor([0, 1, 2]))
    with pytest.raises(ClassMismatchError, match="a label is 3, of 3 classes the last is 2"):
        loss(torch.zeros(2, 6), torch.tensor([0, 3]))
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        type(loss)(1)
    with pytest.raises(ConfigError, match="margin must be a positive number"):
        PrototypeSeparationLoss(2, margin=0)
