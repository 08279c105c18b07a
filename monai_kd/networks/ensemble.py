# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.utils import look_up_option
from torch import Tensor, nn

from monai_kd.networks.teacher import Teacher
from monai_kd.utils import ClassMismatchError, ConfigError, to_float

__all__ = ["TeacherEnsemble", "accuracy_weights", "teacher_accuracy"]


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
        if not temperature > 0:
            raise ConfigError(f"temperature must be a positive number, got {temperature!r}", where="TeacherEnsemble")
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


def accuracy_weights(accuracies: Sequence[float], tau: float = 0.1) -> list[float]:
    """Weights of an ensemble in which a better teacher counts more.

    .. math:: w_m = \\mathrm{softmax}_m(acc_m / \\tau)

    Args:
        accuracies: of each teacher, between 0 and 1, on items that none of them learnt from.
        tau: the smaller, the more the best teacher counts; positive.

    Raises:
        ConfigError: no accuracies, one that is none, or a `tau` that is not positive.

    Example::

        >>> from monai_kd.networks import accuracy_weights
        >>> [round(w, 3) for w in accuracy_weights([0.9, 0.8])]
        [0.731, 0.269]
    """
    if not accuracies or not all(0 <= a <= 1 for a in accuracies):
        raise ConfigError(f"accuracies must lie between 0 and 1, got {list(accuracies)}", where="accuracy_weights")
    if not tau > 0:
        raise ConfigError(f"tau must be positive, got {tau}", where="accuracy_weights")
    return (torch.tensor(accuracies, dtype=torch.float64) / tau).softmax(0).tolist()


def teacher_accuracy(
    teacher: nn.Module, batches: Iterable[Mapping[str, Any]], key: str = "image", label: str = "label"
) -> float:
    """The part of all items that a teacher gets right.

    Args:
        teacher: a network or `Teacher` that answers logits [N, C]; it stays on its device and in its mode.
        batches: such as a validation loader.
        key: of what it looks at, [N, ...].
        label: of the class, [N] or [N, 1].

    Raises:
        ConfigError: there is no batch, or one without these keys.

    Example::

        >>> import torch
        >>> from monai_kd.networks import teacher_accuracy
        >>> teacher_accuracy(torch.nn.Identity(), [{"image": torch.eye(4), "label": torch.tensor([0, 1, 2, 0])}])
        0.75
    """
    network = teacher if isinstance(teacher, Teacher) else Teacher(teacher)
    device = next((p.device for p in network.network.parameters()), None)
    right = total = 0
    for batch in batches:
        if missing := [k for k in (key, label) if k not in batch]:
            raise ConfigError(f"a batch has no {missing[0]!r}", where="teacher_accuracy")
        answer = network(torch.as_tensor(batch[key], device=device)).argmax(1)
        right += int((answer == torch.as_tensor(batch[label], device=answer.device).flatten()).sum())
        total += len(answer)
    if not total:
        raise ConfigError("there is nothing to look at", where="teacher_accuracy", fix="give validation items")
    return right / total
