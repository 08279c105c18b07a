# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A run that asks for fewer epochs than are done is told so, and changes nothing."""

from __future__ import annotations

import pytest

from monai_kd.handlers import Checkpoint
from monai_kd.utils import CheckpointError
from tests.nets import LABEL, Classifier, batches, make_trainer


def run(folder, epochs):
    handlers = [Checkpoint(folder, resume=True)]
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(2), epochs, train_handlers=handlers)
    trainer.run()
    return trainer.state.iteration


def test_fewer_is_an_error_that_says_what_to_do_and_changes_nothing(tmp_path):
    assert run(tmp_path, 3) == 6
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        CheckpointError, match=r"checkpoint.pt: 3 epochs are done and max_epochs is 2.*raise max_epochs"
    ):
        run(tmp_path, 2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("epochs", "iterations"), [(3, 6), (4, 8)])
def test_as_many_or_more_go_on(tmp_path, epochs, iterations):
    run(tmp_path, 3)
    assert run(tmp_path, epochs) == iterations
