# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from monai_kd.losses.probabilistically_compact import ProbabilisticallyCompactLoss
from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError
from tests.losses.loss_checks import inductor

LOSS = ProbabilisticallyCompactLoss(margin=0.3)
SHAPES = [(6, 4), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)]


def pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return (3 * torch.randn(shape)).to(dtype).requires_grad_(), torch.randint(shape[1], (shape[0], *shape[2:]))


def oracle(logits: Tensor, label: Tensor) -> float:
    rows = logits.detach().double().movedim(1, -1).flatten(0, -2).tolist()
    total, count = 0.0, 0
    for z, y in zip(rows, label.flatten().tolist(), strict=True):
        if y >= 0:
            p = [math.exp(x) / sum(math.exp(v) for v in z) for x in z]
            total += sum(max(0.0, p[c] - p[y] + 0.3) for c in range(len(p)) if c != y)
            count += 1
    return total / count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"])
def test_matches_plain_loop(shape, dtype, rel):
    input, label = pair(shape, dtype)
    assert LOSS(input, label).item() == pytest.approx(oracle(input, label), rel=rel)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_is_the_derivative(shape):
    input, label = pair(shape)
    assert torch.autograd.gradcheck(lambda x: LOSS(x, label), input)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_under_autocast_is_as_good(dtype):
    input, label = pair((4, 3, 8, 8), dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSS(input, label)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(oracle(input, label), rel=1e-4)
    extreme = (6e4 * torch.randn(4, 3).sign()).to(dtype).requires_grad_()
    LOSS(extreme, torch.tensor([0, 1, 2, 0])).backward()
    assert extreme.grad.isfinite().all()


def test_a_class_that_leads_by_the_margin_is_left_alone():
    input = torch.tensor([[9.0, 0.0, 0.0]], requires_grad=True)
    value = LOSS(input, torch.tensor([0]))
    value.backward()
    assert value == 0 and input.grad.equal(torch.zeros(1, 3))


def test_rows_without_a_label_do_not_count():
    input, label = pair((4, 3))
    label[1] = -1
    with torch.no_grad():
        input[1] = torch.nan
    value = LOSS(input, label)
    assert value.item() == pytest.approx(LOSS(input[[0, 2, 3]], label[[0, 2, 3]]).item())
    value.backward()
    assert input.grad[1].equal(torch.zeros(3).double()) and input.grad.isfinite().all()


@pytest.mark.parametrize(("rows", "label"), [(0, []), (2, [-1, -1])])
def test_nothing_to_learn_is_a_connected_zero(rows, label):
    input = torch.randn(rows, 3, requires_grad=True)
    value = LOSS(input, torch.tensor(label, dtype=torch.long))
    value.backward()
    assert value == 0 and input.grad is not None


def test_labels_may_be_one_hot():
    input, label = pair((2, 3, 4))
    one_hot = torch.nn.functional.one_hot(label, 3).movedim(-1, 1)
    assert LOSS(input, one_hot) == LOSS(input, label) == LOSS(input, label.unsqueeze(1))


def test_a_row_that_is_all_zero_in_a_one_hot_label_does_not_count():
    input, label = pair((4, 3))
    one_hot = torch.nn.functional.one_hot(label, 3)
    one_hot[1], label[1] = 0, -1
    assert LOSS(input, one_hot) == LOSS(input, label)


@pytest.mark.parametrize("backend", ["eager", inductor])
def test_compiles_whole(backend):
    input, label = pair((2, 3, 4), torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(LOSS, fullgraph=True, backend=backend)
    (mine,) = torch.autograd.grad(compiled(input, label), input)
    (theirs,) = torch.autograd.grad(LOSS(input, label), input)
    torch.testing.assert_close(compiled(input, label), LOSS(input, label))
    torch.testing.assert_close(mine, theirs)


def test_bad_input_is_refused():
    for margin in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match=r"margin must be in \[0, 1\]"):
            ProbabilisticallyCompactLoss(margin)
    with pytest.raises(ShapeMismatchError, match=r"label is \(3,\), student \(2, 3\)"):
        LOSS(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(ClassMismatchError, match="ProbabilisticallyCompactLoss: a label is 7, of 3 classes"):
        LOSS(torch.zeros(2, 3), torch.tensor([0, 7]))
    with pytest.raises(ClassMismatchError, match="one-hot of 2 classes"):
        LOSS(torch.zeros(3, 4), torch.zeros(3, 2))
    with pytest.raises(ShapeMismatchError, match=r"\[N, C\]"):
        LOSS(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ConfigError, match="one class"):
        LOSS(torch.zeros(3, 1), torch.zeros(3))
