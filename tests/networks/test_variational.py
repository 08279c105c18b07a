# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from monai_kd.losses import VIDLoss
from monai_kd.networks import VariationalConnector
from monai_kd.utils import ConfigError


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_mean_has_the_teachers_shape_and_every_channel_a_variance(dims):
    connector = VariationalConnector(dims, 4, 6)
    answer = connector(torch.randn(2, 4, *[8] * dims), torch.randn(2, 6, *[4] * dims))
    assert answer["mean"].shape == (2, 6, *[4] * dims)
    torch.testing.assert_close(answer["variance"], torch.full((6,), 5.0))


def test_mean_and_variance_learn_what_the_data_are():
    """Two channels of standard deviations 0.5 and 2 around nothing: their variances are found."""
    connector = VariationalConnector(1, 1, 2)
    optimizer = torch.optim.Adam(connector.parameters(), lr=0.1)
    noise = torch.tensor([0.5, 2.0]).reshape(1, 2, 1) * torch.randn(64, 2, 32)
    for _ in range(150):
        answer = connector(torch.zeros(64, 1, 32))
        loss = VIDLoss()(answer["mean"], noise, variance=answer["variance"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(answer["variance"].detach(), torch.tensor([0.25, 4.0]), rtol=0.2, atol=0)


def test_gradient_reaches_every_parameter_and_copies_answer_the_same():
    connector, x = VariationalConnector(2, 3, 4).train(), torch.randn(2, 3, 5, 5)
    answer = connector(x)
    VIDLoss()(answer["mean"], torch.randn(2, 4, 5, 5), variance=answer["variance"]).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in connector.parameters())
    connector.eval()
    for other in (copy.deepcopy(connector), pickle.loads(pickle.dumps(connector))):
        assert torch.equal(other(x)["mean"], connector(x)["mean"])


def test_variance_below_eps_is_refused():
    with pytest.raises(ConfigError, match="initial_variance must be above"):
        VariationalConnector(2, 3, 4, initial_variance=0.0)
