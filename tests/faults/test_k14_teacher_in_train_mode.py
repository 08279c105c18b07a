# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K14: a teacher that something puts into train mode in every step still answers in eval mode."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from monai_kd.networks import Teacher
from tests.nets import MIMIC, Classifier, batches, make_trainer, same, state_of


@pytest.mark.parametrize("epochs", [2])
def test_its_statistics_stay_and_its_dropout_sleeps(epochs):
    teacher, answers = Classifier(dropout=0.5), []
    before, data = state_of(teacher), batches(1)
    passes = {"teacher": {"network": Teacher(teacher)}}
    trainer = make_trainer(Classifier(), passes, {"kd": MIMIC}, data * 3, epochs)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: teacher.train())
    trainer.add_event_handler(
        IterationEvents.LOSS_COMPLETED, lambda engine: answers.append(engine.state.knowledge["teacher"])
    )
    trainer.run()
    assert same(teacher, before) and len(answers) == 3 * epochs
    with torch.no_grad():
        expected = teacher.eval()(data[0]["image"])
    assert all(torch.allclose(answer, expected, atol=1e-6) for answer in answers)
