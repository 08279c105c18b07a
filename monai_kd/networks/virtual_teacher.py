# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from monai_kd.utils import ClassMismatchError, ConfigError

__all__ = ["VirtualTeacher"]


class VirtualTeacher(nn.Module):
    r"""A teacher that knows the label and nothing else: the logits of a smoothed label, for KD without a teacher.

    .. math:: z_c = \log a \text{ if } c = y, \quad \log \frac{1 - a}{C - 1} \text{ otherwise}

    Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020 (arXiv 1909.11723):
    Tf-KD by regularisation, softened by T = 20 in the loss.

    Args:
        num_classes: C.
        correct: a, the probability of the label.

    Raises:
        ConfigError: fewer than two classes, or `correct` is not in (1 / C, 1).
        ClassMismatchError: in `forward`: a label is not below C (seen on a CPU).

    Example::

        >>> import torch
        >>> from monai_kd.networks import VirtualTeacher
        >>> VirtualTeacher(num_classes=3, correct=0.8)(torch.tensor([1])).softmax(1)
        tensor([[0.1000, 0.8000, 0.1000]])
    """

    def __init__(self, num_classes: int, correct: float = 0.99) -> None:
        super().__init__()
        if num_classes < 2:
            raise ConfigError(f"num_classes must be at least 2, got {num_classes}", where="VirtualTeacher")
        if not 1 / num_classes < correct < 1:
            raise ConfigError(f"correct must be in (1 / {num_classes}, 1), got {correct!r}", where="VirtualTeacher")
        self.num_classes, self.correct = int(num_classes), float(correct)

    def forward(self, label: Tensor) -> Tensor:
        """Answer.

        Args:
            label: class indices, [N] or [N, *spatial]; a negative one gets equal logits.

        Returns:
            Logits, [N, C] or [N, C, *spatial].
        """
        label = label.long()
        if label.device.type == "cpu" and label.numel() and int(label.max()) >= self.num_classes:
            raise ClassMismatchError(
                f"a label is {int(label.max())}, num_classes is {self.num_classes}", where="VirtualTeacher"
            )
        classes = torch.arange(self.num_classes, device=label.device).reshape(-1, *[1] * (label.ndim - 1))
        wrong = math.log((1 - self.correct) / (self.num_classes - 1))
        rise = math.log(self.correct) - wrong
        return wrong + rise * (label.unsqueeze(1) == classes).float()
