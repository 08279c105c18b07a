# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from monai_kd import trainable
from monai_kd.engines import DistillationTrainer
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import AttentionTransferLoss, KDLoss, Objective
from monai_kd.networks import Teacher
from tests.benchmarks.cases import Case
from tests.benchmarks.timing import Clock, Variant

__all__ = ["SETTINGS", "Setting", "variants"]


@dataclass(frozen=True)
class Setting:
    """How every variant computes: `bfloat16` is autocast of both networks, `compile` is torch.compile of both."""

    bfloat16: bool = False
    compile: bool = False

    def autocast(self, device: torch.device) -> dict[str, Any] | None:
        return {"device_type": device.type, "dtype": torch.bfloat16} if self.bfloat16 else None


SETTINGS = {"float32": Setting(), "bfloat16": Setting(bfloat16=True), "compile": Setting(compile=True)}

Build = Callable[[], Variant]


def variants(case: Case, setting: Setting, device: torch.device) -> dict[str, Build]:
    """What is compared, by name, each to be built when it is wanted.

    Every variant starts from the same weights and reads the same batches. The floor has the textbook's KD, as one
    writes it by hand; beside it stand bare loops with the losses of `monai_kd`, which show what is the frame's and what
    the losses'. The bare loops keep their hooks; `monai_kd` places them anew at each step.
    """
    bare = partial(bare_loop, case, setting, device)
    ours = partial(trainer, case, setting, device)
    fast_student = Setting(bfloat16=True)
    built: dict[str, Build] = {
        "student alone": partial(bare, teach=False),
        "floor": partial(bare, kd=textbook_kd),
        "floor again (A/A)": partial(bare, kd=textbook_kd),
        "bare, our losses": bare,
        "monai_kd": ours,
    }
    if case.overhead:
        built["MONAI SupervisedTrainer, student alone"] = partial(monai_alone, case, setting, device)
    if setting.compile:
        return built
    built |= {
        "bare, our losses, 1 hook": partial(bare, taps=1),
        "bare, our losses, 4 hooks": partial(bare, taps=4),
        "monai_kd, 1 tap": partial(ours, taps=1),
        "monai_kd, 4 taps": partial(ours, taps=4),
    }
    if case.overhead:
        return built
    built |= {
        "monai_kd, early exit": partial(ours, early=True),
        "monai_kd, channels_last of both": partial(ours, channels_last=True, fast=("channels_last",)),
        "monai_kd, fast teacher": partial(ours, fast=True),
    }
    if not setting.bfloat16:
        built["monai_kd, fast teacher, student bfloat16 channels_last"] = partial(
            trainer, case, fast_student, device, channels_last=True, fast=True
        )
    return built


def textbook_kd(input: Tensor, target: Tensor, temperature: float = 4.0) -> Tensor:
    """KD as everybody writes it."""
    student, teacher = F.log_softmax(input / temperature, 1), F.log_softmax(target / temperature, 1)
    return (
        temperature**2
        * F.kl_div(student, teacher, log_target=True, reduction="sum")
        * student.shape[1]
        / student.numel()
    )


def bare_loop(
    case: Case,
    setting: Setting,
    device: torch.device,
    teach: bool = True,
    taps: int = 0,
    kd: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Variant:
    """The loop one writes by hand: teacher in eval mode without a graph, cross-entropy, KD, attention terms, SGD."""
    teacher, student = _networks(case, setting, device)
    optimizer = torch.optim.SGD(student.parameters(), lr=1e-3)
    teacher = teacher if teach else nn.Identity()
    cross_entropy, kd, attention = nn.CrossEntropyLoss(), kd or KDLoss(temperature=4.0), AttentionTransferLoss()
    noted: dict[tuple[str, int], Tensor] = {}
    for i, paths in enumerate(case.taps[:taps]):
        for who, network, path in (("student", student, paths[0]), ("teacher", teacher, paths[1])):
            network.get_submodule(path).register_forward_hook(partial(_note, noted, (who, i)))
    autocast = setting.autocast(device)
    clock = Clock(case.batches(device), case.steps, device)

    def run() -> None:
        for batch in clock:
            image, label = batch["image"], batch["label"]
            optimizer.zero_grad()
            with torch.autocast(**autocast) if autocast else nullcontext():
                if teach:
                    with torch.no_grad():
                        soft = teacher(image)
                logits = student(image)
            loss = cross_entropy(logits.float(), label)
            if teach:
                loss = loss + kd(logits, soft)
            for i in range(taps):
                loss = loss + attention(noted["student", i], noted["teacher", i])
            loss.backward()
            optimizer.step()

    return Variant(run, clock)


def trainer(
    case: Case,
    setting: Setting,
    device: torch.device,
    taps: int = 0,
    early: bool = False,
    channels_last: bool = False,
    fast: bool | tuple[str, ...] | None = None,
) -> Variant:
    """The same step through `DistillationTrainer`.

    Args:
        taps: how many attention terms.
        early: no KD; one attention term on a tap in the teacher's middle, where it stops.
        channels_last: bring the student to channels_last.
        fast: of `Teacher`.
    """
    teacher, student = _networks(case, setting, device)
    if channels_last:
        student = student.to(memory_format=case.memory_format)
    tapped = {f"t{i}": pair for i, pair in enumerate([case.taps[case.early]] if early else case.taps[:taps])}
    inferer = DistillationInferer(
        {
            "student": {"taps": {name: pair[0] for name, pair in tapped.items()}},
            "teacher": {
                "network": Teacher(teacher, fast=fast),
                "taps": {name: pair[1] for name, pair in tapped.items()},
            },
        },
        autocast=setting.autocast(device),
    )
    kd = {} if early else {"kd": {"loss": KDLoss(temperature=4.0), "inputs": ["student", "teacher"]}}
    attention = {t: {"loss": AttentionTransferLoss(), "inputs": [f"student.{t}", f"teacher.{t}"]} for t in tapped}
    objective = Objective({"label": {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"]}, **kd, **attention})
    clock = Clock(case.batches(device), case.steps, device)
    engine = DistillationTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=clock,
        network=student,
        optimizer=torch.optim.SGD(trainable(student, inferer), lr=1e-3),
        loss_function=objective,
        inferer=inferer,
    )
    return Variant(engine.run, clock)


def monai_alone(case: Case, setting: Setting, device: torch.device) -> Variant:
    """MONAI's own engine training the student, for what it costs by itself."""
    _, student = _networks(case, setting, device)
    clock = Clock(case.batches(device), case.steps, device)
    engine = SupervisedTrainer(
        device=device,
        max_epochs=1,
        train_data_loader=clock,
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=1e-3),
        loss_function=nn.CrossEntropyLoss(),
        decollate=False,
    )
    return Variant(engine.run, clock)


def _networks(case: Case, setting: Setting, device: torch.device) -> tuple[nn.Module, nn.Module]:
    teacher, student = case.networks(device)
    if setting.compile:
        return torch.compile(teacher), torch.compile(student)  # type: ignore[return-value]
    return teacher, student


def _note(noted: dict, key: tuple[str, int], layer: nn.Module, inputs: tuple, output: Tensor) -> None:
    noted[key] = output
