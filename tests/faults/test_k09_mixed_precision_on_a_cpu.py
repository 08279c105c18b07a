# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K9: mixed precision on a CPU runs networks in half precision, without the scaler that only a GPU has."""

from __future__ import annotations

import pytest
import torch

from monai_kd.losses import KDLoss
from monai_kd.networks import Teacher
from tests.nets import LABEL, Classifier, batches, make_trainer, same, state_of


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_trains_in_either_type(dtype, amp):
    student, seen = Classifier(norm=False), []
    before = state_of(student)
    student.head.register_forward_hook(lambda layer, args, output: seen.append(output.dtype))
    trainer = make_trainer(
        student,
        {"teacher": {"network": Teacher(Classifier())}},
        {"label": LABEL, "kd": {"loss": KDLoss(), "inputs": ["student", "teacher"]}},
        batches(2),
        autocast={"device_type": "cpu", "dtype": dtype},
        amp=amp,
    )
    trainer.run()
    assert set(seen) == {dtype} and trainer.state.output["loss"].dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in student.parameters())
    assert trainer.scaler is None or not trainer.scaler.is_enabled()
    assert not same(student, before)
