# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from monai_kd.utils import ConfigError

__all__ = ["LearnedTemperature"]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


class LearnedTemperature(nn.Module):
    r"""A temperature that learns to make the student's task harder: curriculum temperature, for `CurriculumKDLoss`.

    .. math:: T = T_0 + R\,\sigma(\theta), \qquad \theta \leftarrow \theta + \lambda \, \eta \,
              \frac{\partial L}{\partial \theta}

    The gradient is turned round and scaled by `strength`, which rises from 0 to 1 in the first epochs
    (`ScheduleParameter`).

    Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023 (arXiv 2211.16231): the global version.

    Args:
        start: T_0, the lowest temperature.
        range: R, how far above it may go.
        strength: lambda.

    Raises:
        ConfigError: a number is not positive.

    Example::

        >>> import torch
        >>> from monai_kd.networks import LearnedTemperature
        >>> temperature = LearnedTemperature()(torch.zeros(2, 3))
        >>> round(float(temperature), 4)  # 1 + 20 / (1 + 1 / e)
        15.6212
    """

    def __init__(self, start: float = 1.0, range: float = 20.0, strength: float = 1.0) -> None:
        super().__init__()
        for name, value in (("start", start), ("range", range)):
            if not value > 0:
                raise ConfigError(f"{name} must be positive, got {value!r}", where="LearnedTemperature")
        self.start, self.range, self.strength = float(start), float(range), float(strength)
        self.theta = nn.Parameter(torch.ones(()))

    def forward(self, input: Tensor) -> Tensor:
        """Return T, a scalar, whatever `input` is."""
        theta: Tensor = _Reversed.apply(self.theta, self.strength)
        return self.start + self.range * theta.sigmoid()
