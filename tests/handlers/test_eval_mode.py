# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_kd.handlers import EvalMode


def test_statistics_and_dropout_rest_in_the_epochs_that_it_says():
    network, modes = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)), []

    def step(engine, batch):
        network.train()  # as MONAI's trainer does
        before = network[0].running_mean.clone()
        network(batch)
        modes.append((network[1].training, not before.equal(network[0].running_mean)))

    engine = Engine(step)
    EvalMode(network, lambda epoch: epoch == 1).attach(engine)
    engine.run([torch.randn(6, 2) + 3], max_epochs=3)
    assert modes == [(True, True), (False, False), (True, True)]


@pytest.mark.parametrize("terminated", [False, True])
def test_a_run_that_ends_in_eval_mode_leaves_no_trace(terminated):
    network = nn.BatchNorm1d(2)
    engine = Engine(lambda engine, batch: engine.terminate(skip_completed=True) if terminated else None)
    EvalMode(network, lambda epoch: True).attach(engine)
    engine.run([0], max_epochs=1)
    network.train()(torch.randn(6, 2) + 3)
    assert network.training and network.running_mean.ne(0).all()
