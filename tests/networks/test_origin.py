# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import check_origin, read_origin, write_origin
from monai_kd.utils import CheckpointError

ORIGIN = {"role": "distilled", "recipe": "kd", "seed": 0, "labeled_fraction": 0.1}


@pytest.fixture
def weights(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    write_origin(tmp_path / "model.pt", ORIGIN)
    return tmp_path / "model.pt"


def test_the_same_training_passes(weights):
    assert read_origin(weights) == ORIGIN
    assert check_origin(weights, ORIGIN) == str(weights)
    assert check_origin(weights, {"recipe": "kd", "fold": 3}) == str(weights)  # of its fold nothing is known


def test_each_difference_is_named(weights):
    match = r"model.pt: is of another training: recipe 'kd', now 'crckd', labeled_fraction 0.1, now 1.0. .*--checkpoint"
    with pytest.raises(CheckpointError, match=match):
        check_origin(weights, {**ORIGIN, "recipe": "crckd", "labeled_fraction": 1.0})


def test_of_weights_that_were_written_anew_nothing_is_known(weights):
    torch.save(torch.nn.Linear(2, 2).state_dict(), weights)
    assert read_origin(weights) == {}
    assert check_origin(weights, {"recipe": "crckd"}) == str(weights)


def test_of_what_is_not_there_yet_nothing_is_known(weights):
    weights.unlink()
    assert read_origin(weights) == {}
    assert check_origin(weights, {"recipe": "crckd"}) == str(weights)
