# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K18: a teacher whose weights fit in part is refused, and is as it was."""

from __future__ import annotations

import pytest
import torch

from monai_kd.networks import load_weights
from monai_kd.utils import CheckpointError
from tests.nets import Classifier, same, state_of


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda state: without(state, "head.bias"), r"1 missing \(.*head.bias"),
        (lambda state: {**state, "head.scale": torch.ones(3)}, r"1 unexpected \(.*head.scale"),
        (lambda state: {**state, "head.bias": torch.ones(5)}, r"1 of another shape \(.*head.bias"),
        (lambda state: {f"backbone.{name}": value for name, value in state.items()}, r"\d+ missing .*\d+ unexpected"),
    ],
)
def test_the_keys_are_told(tmp_path, change, match):
    torch.save(change(Classifier().state_dict()), tmp_path / "teacher.pt")
    teacher = Classifier()
    before = state_of(teacher)
    with pytest.raises(CheckpointError, match=rf"teacher.pt: not the weights of this Classifier: {match}"):
        load_weights(teacher, tmp_path / "teacher.pt")
    assert same(teacher, before)
