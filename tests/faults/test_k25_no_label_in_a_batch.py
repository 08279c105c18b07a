# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K25: a batch without a label trains by what needs none, and nothing is nan."""

from __future__ import annotations

import torch
from torch import nn

from monai_kd.networks import Teacher
from tests.nets import LABEL, MIMIC, Classifier, batches, make_trainer, same, state_of


def test_the_mean_over_no_label_is_nan_in_torch():
    loss = nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([-1, -1]), ignore_index=-1)
    assert loss.isnan()


def run(passes: dict, terms: dict, student: Classifier):
    data = [{**batch, "labeled": torch.zeros(4, dtype=torch.bool)} for batch in batches(2)]
    trainer = make_trainer(student, passes, terms, data)
    trainer.run()
    return trainer


def test_the_label_term_is_zero_and_the_teachers_goes_on():
    student = Classifier()
    before = state_of(student)
    terms = {"label": {**LABEL, "where": "labeled"}, "kd": MIMIC}
    trainer = run({"teacher": {"network": Teacher(Classifier())}}, terms, student)
    values = trainer.loss_function.values
    assert values["label"] == 0 and values["kd"] > 0 and not same(student, before)
    assert all(p.isfinite().all() for p in student.parameters())


def test_with_nothing_else_to_learn_from_the_student_stays():
    student = Classifier(norm=False)
    before = state_of(student)
    run({}, {"label": {**LABEL, "where": "labeled"}}, student)
    assert same(student, before) and all(p.grad is not None and not p.grad.any() for p in student.parameters())
