# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.utils import look_up_option
from torch import Tensor, nn

from monai_kd.networks.teacher import Teacher
from monai_kd.utils import ClassMismatchError, ConfigError, to_float

__all__ = ["TeacherEnsemble"]


class TeacherEnsemble(nn.Module):
    """Several teachers that answer as one: the logits of their averaged probabilities.

    .. math:: z = T \\log \\sum_k w_k \\, \\mathrm{softmax}(z_k / T)

    so that softmax(z / T) *is* the average. With `activation="sigmoid"` each class is averaged on its own and
    z = T logit(average). `average="logits"` gives the plain weighted mean of the z_k.

    Args:
        teachers: networks or `Teacher`s, at least one; all answer `[N, C, *spatial]` of one shape.
        weights: one per teacher, normalised to sum 1; equal by default.
        average: "probabilities" or "logits".
        activation: "softmax" (classes exclude each other) or "sigmoid" (multi-label, regions).
        temperature: T, at which probabilities are averaged; 1 averages the teachers' own probabilities.

    Raises:
        ConfigError: no teacher, weights that do not fit them, or one that answers with more than a tensor.
        ClassMismatchError: the teachers answer with different shapes.

    Example::

        >>> import torch
        >>> from monai_kd.networks import TeacherEnsemble
        >>> ensemble = TeacherEnsemble([torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)])
        >>> ensemble(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        teachers: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        average: str = "probabilities",
        activation: str = "softmax",
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if not teachers:
            raise ConfigError("no teachers", where="TeacherEnsemble", fix="give at least one network")
        weights = [1.0] * len(teachers) if weights is None else list(weights)
        if len(weights) != len(teachers) or min(weights) < 0 or sum(weights) <= 0:
            raise ConfigError(f"weights {weights} do not fit {len(teachers)} teachers", where="TeacherEnsemble")
        self.teachers = nn.ModuleList(t if isinstance(t, Teacher) else Teacher(t) for t in teachers)
        self.weights = [w / sum(weights) for w in weights]
        self.average = look_up_option(average, ("probabilities", "logits"))
        self.activation = look_up_option(activation, ("softmax", "sigmoid"))
        self.temperature = temperature

    def forward(self, *inputs: Any) -> Tensor:
        """Answer with logits [N, C, *spatial] of the ensemble.

        Args:
            inputs: what each teacher takes.
        """
        logits = [teacher(*inputs) for teacher in self.teachers]
        for answer in logits:
            if not isinstance(answer, Tensor):
                raise ConfigError(
                    f"a teacher answers with a {type(answer).__name__}, not with one tensor", where="TeacherEnsemble"
                )
        shapes = [tuple(z.shape) for z in logits]
        if len(set(shapes)) > 1:
            raise ClassMismatchError(f"the teachers answer with shapes {shapes}", where="TeacherEnsemble")
        if self.average == "logits":
            return torch.stack([w * z for w, z in zip(self.weights, logits, strict=True)]).sum(0)
        if self.activation == "softmax":
            return self.temperature * self._log_mean(logits, lambda z: F.log_softmax(z, dim=1))
        positive, negative = self._log_mean(logits, F.logsigmoid), self._log_mean(logits, lambda z: F.logsigmoid(-z))
        return self.temperature * (positive - negative)

    def _log_mean(self, logits: list[Tensor], log_probability: Callable[[Tensor], Tensor]) -> Tensor:
        scaled = [log_probability(to_float(z) / self.temperature) for z in logits]
        weights = scaled[0].new_tensor(self.weights).log().reshape(-1, *[1] * scaled[0].ndim)
        return torch.logsumexp(torch.stack(scaled) + weights, dim=0)
