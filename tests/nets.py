# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiny networks, data and a trainer, for the tests of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn

import monai_kd
from monai_kd.engines import DistillationTrainer
from monai_kd.inferers import DistillationInferer
from monai_kd.losses import Objective

CLASSES = 3
LABEL = {"loss": nn.CrossEntropyLoss(), "inputs": ["student", "label"]}
MIMIC = {"loss": nn.MSELoss(), "inputs": ["student", "teacher"]}
HINT = {"hint": "act"}
HINTED = {"loss": nn.MSELoss(), "inputs": ["student.hint", "teacher.hint"]}


class Counter(nn.Module):
    """Passes its input on and counts how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Classifier(nn.Module):
    """Two convolutions and a head; `late` counts the forwards that come past the tap on `act`."""

    def __init__(
        self, spatial_dims: int = 2, width: int = 4, classes: int = CLASSES, norm: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv = Conv[Conv.CONV, spatial_dims](1, width, 3, padding=1)
        self.norm = Norm[Norm.BATCH, spatial_dims](width) if norm else nn.Identity()
        self.act = nn.Tanh()
        self.late = Counter()
        self.deep = Conv[Conv.CONV, spatial_dims](width, width, 3, padding=1)
        self.pool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        feature = self.deep(self.late(self.act(self.norm(self.conv(x)))))
        return self.head(self.dropout(self.pool(feature).flatten(1)))


class Answering(nn.Module):
    """Answers two scales of a picture as a tuple, a list, a dict, or one stack of heads."""

    def __init__(self, kind: str, spatial_dims: int = 2) -> None:
        super().__init__()
        self.kind = kind
        self.first = Conv[Conv.CONV, spatial_dims](1, CLASSES, 1)
        self.second = Conv[Conv.CONV, spatial_dims](1, CLASSES, 1)

    def forward(self, x: Tensor) -> Any:
        first, second = self.first(x), self.second(x)
        answers = {
            "tuple": (first, second),
            "list": [first, second],
            "dict": {"main": first, "aux": second},
            "stack": torch.stack([first, second], 1),
        }
        return answers[self.kind]


def both(teacher: nn.Module) -> dict[str, Any]:
    """A student's and a teacher's pass, both tapped."""
    return {"student": {"taps": HINT}, "teacher": {"network": teacher, "taps": HINT}}


def images(rows: int = 4, spatial_dims: int = 2, size: int = 6) -> Tensor:
    """Random images [N, 1, *spatial]."""
    return torch.randn(rows, 1, *[size] * spatial_dims)


def batches(count: int = 3, rows: int = 4, spatial_dims: int = 2) -> list[dict[str, Tensor]]:
    """Batches of two views, a label, and whether it is known."""
    return [
        {
            "image": images(rows, spatial_dims),
            "image_2": images(rows, spatial_dims),
            "label": torch.randint(0, CLASSES, (rows,)),
            "labeled": torch.arange(rows) % 2 == 0,
        }
        for _ in range(count)
    ]


def make_trainer(
    student: nn.Module,
    passes: Mapping[str, Any],
    terms: Mapping[str, Any],
    data: Any,
    epochs: int = 1,
    lr: float = 0.1,
    momentum: float = 0.0,
    autocast: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> DistillationTrainer:
    """A trainer on the CPU; the student's pass reads `image` unless `passes` says otherwise."""
    inferer = DistillationInferer({"student": {}, **passes}, autocast=autocast)
    kwargs.setdefault("optimizer", torch.optim.SGD(monai_kd.trainable(student, inferer), lr=lr, momentum=momentum))
    return DistillationTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=data,
        network=student,
        loss_function=Objective(terms),
        inferer=inferer,
        **kwargs,
    )


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's state."""
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether the network's state is `state`, bit by bit."""
    own = network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)


def hooks(network: nn.Module) -> int:
    """How many forward and backward hooks the layers of `network` have."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(layer, kind)) for layer in network.modules() for kind in kinds)
