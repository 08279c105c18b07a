# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from monai_kd.utils.errors import DataError

__all__ = ["CumulativeScore"]


class CumulativeScore(CumulativeIterationMetric):
    """A score of all cases of an epoch, of all processes: what a page publishes is what validation measured.

    ignite's `EpochMetric` does the same, but cannot gather from processes that have different numbers of cases. As an
    evaluator's metric it stands in MONAI's `IgniteMetricHandler`.

    Args:
        score: of (label, prediction), [N] or [N, C] and [N, C], such as a metric of `monai_kd.metrics`.

    Example::

        >>> import torch
        >>> from monai_kd.metrics import CumulativeScore, balanced_accuracy
        >>> metric = CumulativeScore(lambda label, pred: balanced_accuracy(label, pred.softmax(1)))
        >>> for label in ([0, 0], [0, 2]):
        ...     _ = metric(torch.eye(3)[[0, 0]], torch.tensor(label))
        >>> metric.aggregate()
        0.5
    """

    def __init__(self, score: Callable[[Tensor, Tensor], float]) -> None:
        super().__init__()
        self.score = score

    def _compute_tensor(self, y_pred: Tensor, y: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return y_pred, y

    def aggregate(self) -> float:
        """The score of what was accumulated since `reset`.

        Raises:
            DataError: nothing was.
        """
        found = self.get_buffer()
        if found is None:
            raise DataError("there is no case to score", where="CumulativeScore")
        pred, label = found
        return self.score(label, pred)
