# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K27: a last batch of one sample, in which there is nothing to compare, leaves the student finite."""

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import (
    CorrelationCongruenceLoss,
    NSTLoss,
    PKTLoss,
    RKDLoss,
    SampleRelationLoss,
    SimilarityPreservingLoss,
    VICRegLoss,
)
from monai_kd.networks import Teacher
from tests.nets import LABEL, Classifier, batches, both, make_trainer, same, state_of

LOSSES = [
    CorrelationCongruenceLoss(),
    NSTLoss(),
    PKTLoss(),
    RKDLoss(),
    SampleRelationLoss(),
    SimilarityPreservingLoss(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_relations_of_one_sample(loss):
    student = Classifier(norm=False)
    before = state_of(student)
    terms = {"label": LABEL, "relation": {"loss": loss, "inputs": ["student.hint", "teacher.hint"]}}
    data = [*batches(1), *batches(1, rows=1)]
    trainer = make_trainer(student, both(Teacher(Classifier(norm=False))), terms, data)
    trainer.run()
    assert trainer.state.iteration == 2 and trainer.loss_function.values["relation"].isfinite()
    assert all(p.isfinite().all() for p in student.parameters()) and not same(student, before)


def test_views_of_one_sample():
    views = [torch.randn(1, 5, requires_grad=True) for _ in range(2)]
    value = VICRegLoss()(*views)
    value.backward()
    assert value.isfinite() and all(view.grad.isfinite().all() for view in views)
