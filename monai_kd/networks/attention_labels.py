# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.networks.attention_pooling import AttentionPooling
from monai_kd.networks.teacher import in_mode
from monai_kd.utils import ConfigError, gather_rows, is_distributed, to_float

__all__ = ["AttentionLabels"]


class AttentionLabels(nn.Module):
    r"""Soft labels of instances, from where a bag classifier looks.

    .. math:: y_i = \mathrm{clamp}\!\left(\frac{s_i - \min_j s_j}{\max_j s_j - \min_j s_j},\, \epsilon,\, 1 - \epsilon
        \right)

    for an instance of a bag of class Y > 0: its label is Y with y, 0 with 1 - y. In a bag of class 0 all are 0. The
    scores s are those before the softmax, without dropout; the extremes are over every training instance, as it was
    scored last, so that the bank holds one score for each. Nothing here learns, and no gradient passes.

    Qu et al., "Bi-directional Weakly Supervised Knowledge Distillation for Whole Slide Image Classification", NeurIPS
    2022 (arXiv 2210.03664), who take the extremes of the last epoch, and dropout on. For two classes it is theirs.

    Args:
        teacher: the bag classifier.
        num_samples: number of training instances; `index` is below it.
        num_classes: K, classes of the labels.
        eps: epsilon.

    Raises:
        ConfigError: the teacher is no `AttentionPooling`, or a number is too small.

    Example::

        >>> import torch
        >>> from monai_kd.networks import AttentionLabels, AttentionPooling
        >>> labels = AttentionLabels(AttentionPooling(4, 2), num_samples=10)
        >>> bag, bag_label = torch.tensor([0, 0, 1]), torch.tensor([0, 1])
        >>> y = labels(torch.rand(3, 4), bag, bag_label, index=torch.tensor([7, 2, 5]))
        >>> y.shape, y[:2].tolist()
        (torch.Size([3, 2]), [[1.0, 0.0], [1.0, 0.0]])
    """

    bank: Tensor

    def __init__(self, teacher: AttentionPooling, num_samples: int, num_classes: int = 2, eps: float = 1e-5) -> None:
        super().__init__()
        if not isinstance(teacher, AttentionPooling):
            raise ConfigError(
                f"teacher must be an AttentionPooling, got {type(teacher).__name__}", where="AttentionLabels"
            )
        if num_samples < 1 or num_classes < 2:
            raise ConfigError(f"{num_samples} samples, {num_classes} classes", where="AttentionLabels")
        self._teacher = (teacher,)  # not a part of this network: its own pass moves, trains and saves it
        self.num_classes, self.eps = int(num_classes), float(eps)
        self.register_buffer("bank", torch.full((num_samples,), torch.nan))

    @torch.no_grad()
    def forward(self, features: Tensor, bag: Tensor, bag_label: Tensor, index: Tensor) -> Tensor:
        """Label.

        Args:
            features: of the instances, as the teacher takes them.
            bag: which bag each instance is of, [M].
            bag_label: class of each bag, [B]; below 1 its instances are of class 0.
            index: which training instance each is, [M].

        Returns:
            Probabilities, [M, K].
        """
        scores = to_float(self._scores(features.detach()))
        self._remember(scores, index.reshape(-1).long())
        seen = self.bank[~self.bank.isnan()].to(scores.dtype)
        low, high = seen.aminmax()
        label = bag_label.reshape(-1)[bag.reshape(-1)].clamp(min=0)
        y = ((scores - low) / (high - low).clamp(min=torch.finfo(scores.dtype).tiny)).clamp(self.eps, 1 - self.eps)
        y = torch.where(label > 0, y, 0.0)
        labels = y.new_zeros(len(y), self.num_classes)
        labels[:, 0] = 1 - y
        return labels.scatter_add(1, label.unsqueeze(1), y.unsqueeze(1))

    def _scores(self, features: Tensor) -> Tensor:
        (teacher,) = self._teacher
        with in_mode(teacher, training=False):
            return teacher.score(features)

    def _remember(self, scores: Tensor, index: Tensor) -> None:
        if is_distributed():
            scores, index = gather_rows(scores), gather_rows(index)
        self.bank[index] = scores.to(self.bank.dtype)
