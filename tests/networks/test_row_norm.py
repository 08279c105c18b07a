# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from monai_kd.networks import Projector, RowNorm

C = 4


def pair(affine: bool = True) -> tuple[RowNorm, nn.BatchNorm1d]:
    """The same state in both; they have seen a batch."""
    mine, plain = RowNorm(C, affine=affine), nn.BatchNorm1d(C, affine=affine)
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    plain(3 + 2 * torch.randn(6, C))
    mine.load_state_dict(plain.state_dict(), strict=True)
    return mine, plain


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, C), (5, C), (1, C, 3), (2, C, 1)])
def test_is_batch_norm_bit_for_bit(shape, affine):
    mine, plain = pair(affine)
    for training in (True, False):
        inputs = [torch.randn(shape, requires_grad=True)]
        inputs.append(inputs[0].detach().clone().requires_grad_())
        answers = [norm.train(training)(x) for norm, x in zip((mine, plain), inputs, strict=True)]
        for answer in answers:
            answer.square().sum().backward()
        assert answers[0].equal(answers[1]) and inputs[0].grad.equal(inputs[1].grad)
        assert all(value.equal(plain.state_dict()[key]) for key, value in mine.state_dict().items())


@pytest.mark.parametrize("affine", [True, False])
def test_a_lone_row_is_normalised_by_what_was_seen_before(affine):
    mine, plain = pair(affine)
    before, row = copy.deepcopy(mine.state_dict()), torch.randn(1, C, requires_grad=True)
    answer = mine.train()(row)
    expected = [(row[0, c] - plain.running_mean[c]) / (plain.running_var[c] + plain.eps).sqrt() for c in range(C)]
    if affine:
        expected = [x * w + b for x, w, b in zip(expected, plain.weight, plain.bias, strict=True)]
    torch.testing.assert_close(answer[0], torch.stack(expected))
    assert answer.equal(plain.eval()(row))
    assert all(value.equal(before[key]) for key, value in mine.state_dict().items())
    answer.sum().backward()
    assert row.grad.isfinite().all() and (row.grad != 0).all()


def test_without_running_statistics_it_is_refused_as_ever():
    with pytest.raises(ValueError, match="more than 1 value"):
        RowNorm(C, track_running_stats=False)(torch.randn(1, C))
    with pytest.raises(ValueError, match="2D or 3D"):
        RowNorm(C)(torch.randn(C))


def test_a_projector_learns_from_a_lone_sample_and_loads_what_was_saved_before():
    projector = Projector(3, C)
    projector(torch.randn(1, 3, 2, 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in projector.parameters())
    norms = [nn.BatchNorm1d(C), nn.BatchNorm1d(C)]
    hidden = [
        nn.Sequential(nn.Linear(n, C, bias=False), norm, nn.ReLU()) for n, norm in zip((3, C), norms, strict=True)
    ]
    older = nn.Sequential(*hidden, nn.Linear(C, C))
    projector.layers.load_state_dict(older.state_dict(), strict=True)
    x = torch.randn(5, 3)
    assert projector(x).equal(older(x))
