# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective
from monai_kd.networks import Teacher


def network(width: int) -> nn.Module:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), *head)


def train(backend: str | Callable | None, taps: bool = True, compiled_teacher: bool = False) -> dict[str, Tensor]:
    torch.manual_seed(0)
    torch._dynamo.reset()
    student, teacher = network(8), network(8)
    if compiled_teacher:
        teacher = torch.compile(teacher, backend=backend)
    noted = {"feature": "2"} if taps else None
    terms = {
        "label": {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"]},
        "logits": {"loss": nn.MSELoss(), "inputs": ["student", "teacher"]},
        "hint": {"loss": nn.MSELoss(), "inputs": ["student.feature", "teacher.feature"]} if taps else None,
    }
    inferer = DistillationInferer({"student": {"taps": noted}, "teacher": {"network": Teacher(teacher), "taps": noted}})
    data = [{"image": torch.randn(6, 1, 8, 8), "label": torch.randint(0, 3, (6,))} for _ in range(4)]
    compile_student = backend is not None and not compiled_teacher
    trainer = DistillationTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=data,
        network=student,
        optimizer=torch.optim.SGD(monai_kd.trainable(student, inferer), lr=0.1),
        loss_function=Objective(terms),
        inferer=inferer,
        compile=compile_student,
        compile_kwargs={"backend": backend} if compile_student else None,
    )
    trainer.run()
    assert all(not layer._forward_hooks for layer in student.modules())
    return student.state_dict()


@pytest.mark.parametrize("taps", [False, True])
def test_compiled_student_is_one_graph_and_trains_the_same(taps: bool) -> None:
    counter = CompileCounter()
    compiled, eager = train(counter, taps), train(None, taps)
    assert counter.frame_count == 1  # neither a graph break nor a compilation anew for the taps of each forward
    for key, value in eager.items():
        torch.testing.assert_close(compiled[key], value)


def test_compiled_teacher_is_tapped() -> None:
    counter = CompileCounter()
    compiled, eager = train(counter, compiled_teacher=True), train(None)
    assert counter.frame_count == 1
    for key, value in eager.items():
        torch.testing.assert_close(compiled[key], value)


def test_a_tap_asked_for_after_the_compilation_is_not_missed() -> None:
    torch._dynamo.reset()
    net = torch.compile(network(4), backend="eager")
    image = torch.ones(2, 1, 8, 8)
    DistillationInferer({"student": {}})(image, net)
    knowledge = DistillationInferer({"student": {"taps": {"feature": "2"}}})(image, net)
    assert knowledge["student.feature"].shape == (2, 4, 6, 6)


@pytest.mark.slow
def test_inductor_trains_the_same() -> None:
    compiled, eager = train("inductor"), train(None)
    for key, value in eager.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-4, atol=1e-5)
