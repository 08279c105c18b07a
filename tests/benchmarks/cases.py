# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import SegResNet, UNet, resnet18, resnet50
from torch import Tensor, nn

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """A task of a fixed size with random weights and data.

    Args:
        title: what is distilled into what.
        teacher, student: build the networks; both answer [N, classes, ...].
        shape: of an image batch.
        classes: how many.
        dense: one label per voxel, not per image.
        taps: pairs of layer paths (student, teacher) with maps of one spatial size, shallow first.
        early: index in `taps` of the tap that an early-exit recipe reads.
        steps: timed steps of a variant in one round.
        rounds: how often each variant is timed; a seventh of it if quick.
        overhead: the networks are so small that a step shows what the frame costs.
    """

    title: str
    teacher: Callable[[], nn.Module]
    student: Callable[[], nn.Module]
    shape: tuple[int, ...]
    classes: int
    dense: bool
    taps: tuple[tuple[str, str], ...]
    early: int
    steps: int
    rounds: int = 21
    overhead: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if len(self.shape) == 4 else torch.channels_last_3d

    def batches(self, device: torch.device, count: int = 4) -> list[dict[str, Tensor]]:
        """Random batches on the device, ready to be read again and again."""
        g = torch.Generator().manual_seed(1)
        rows = (self.shape[0], *(self.shape[2:] if self.dense else ()))
        return [
            {
                "image": torch.rand(self.shape, generator=g).to(device),
                "label": torch.randint(self.classes, rows, generator=g).to(device),
            }
            for _ in range(count)
        ]

    def networks(self, device: torch.device) -> tuple[nn.Module, nn.Module]:
        """The frozen teacher in eval mode and the student in train mode, the same at each call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            teacher, student = self.teacher(), self.student()
        return teacher.eval().requires_grad_(False).to(device), student.train().to(device)


def _four_convolutions() -> nn.Module:
    layers = [layer for i in range(4) for layer in (nn.Conv2d(8 if i else 3, 8, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


CASES = {
    "tiny": Case(
        title="tiny network: 4 convolutions of width 8 into the same, 8x8, batch 16",
        teacher=_four_convolutions,
        student=_four_convolutions,
        shape=(16, 3, 8, 8),
        classes=5,
        dense=False,
        taps=(("1", "1"), ("3", "3"), ("5", "5"), ("7", "7")),
        early=1,
        steps=10,
        rounds=120,
        overhead=True,
    ),
    "2d": Case(
        title="2-D classifier: resnet50 into resnet18, 64x64, batch 16",
        teacher=lambda: resnet50(spatial_dims=2, n_input_channels=3, num_classes=5),
        student=lambda: resnet18(spatial_dims=2, n_input_channels=3, num_classes=5),
        shape=(16, 3, 64, 64),
        classes=5,
        dense=False,
        taps=(("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3"), ("layer4", "layer4")),
        early=1,
        steps=2,
    ),
    "3d": Case(
        title="3-D segmenter: SegResNet (16) into UNet (8, 16, 32, 64), 48x48x48, batch 2",
        teacher=lambda: SegResNet(spatial_dims=3, init_filters=16, in_channels=1, out_channels=3),
        student=lambda: UNet(3, 1, 3, channels=(8, 16, 32, 64), strides=(2, 2, 2)),
        shape=(2, 1, 48, 48, 48),
        classes=3,
        dense=True,
        taps=(
            ("model.0", "down_layers.1"),
            ("model.1.submodule.0", "down_layers.2"),
            ("model.1.submodule.1.submodule.0", "down_layers.3"),
            ("model.1.submodule.2", "up_layers.1"),
        ),
        early=1,
        steps=2,
    ),
}
