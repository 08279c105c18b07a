# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K12: a layer that there is not is told when the run starts, with the nearest names."""

from __future__ import annotations

import pytest

from monai_kd.networks import Teacher
from monai_kd.utils import UnknownLayerError
from tests.nets import HINTED, LABEL, Classifier, batches, hooks, make_trainer, same, state_of


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_it_is_told_before_the_first_step(role):
    student, teacher = Classifier(), Classifier()
    before, taps = state_of(student), {"student": "act", "teacher": "act", role: "atc"}
    passes = {
        "student": {"taps": {"hint": taps["student"]}},
        "teacher": {"network": Teacher(teacher), "taps": {"hint": taps["teacher"]}},
    }
    trainer = make_trainer(student, passes, {"label": LABEL, "hint": HINTED}, batches())
    with pytest.raises(UnknownLayerError, match=rf"{role}.*'atc'.*did you mean 'act'"):
        trainer.run()
    assert trainer.state.iteration <= 1 and same(student, before)
    assert hooks(student) == hooks(teacher) == 0
