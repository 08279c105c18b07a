# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.utils import ShapeMismatchError, to_float

__all__ = ["HardInstances"]


class HardInstances(nn.Module):
    r"""Leave the easy instances of positive bags out: the student knows them, so the teacher must find others.

    Instance i of a bag of class Y is kept where

    .. math:: Y = 0 \quad\text{or}\quad q_{iY} \le \theta \quad\text{or}\quad i = \mathrm{argmin}_{j \in b}\, q_{jY}

    with q the student's softmax; the last keeps one instance of a bag that would lose all. Class 0 is negative.

    Qu et al., "Bi-directional Weakly Supervised Knowledge Distillation for Whole Slide Image Classification", NeurIPS
    2022 (arXiv 2210.03664). For two classes it is theirs.

    Args:
        threshold: theta; at 1 every instance is kept.

    Raises:
        ShapeMismatchError: in `forward`: the bags do not fit.

    Example::

        >>> import torch
        >>> from monai_kd.networks import HardInstances
        >>> logits = torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.0, 2.0]])
        >>> HardInstances(0.5)(logits, bag=torch.tensor([0, 0, 1]), bag_label=torch.tensor([1, 0]))
        tensor([False,  True,  True])
    """

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = float(threshold)

    @torch.no_grad()
    def forward(self, input: Tensor, bag: Tensor, bag_label: Tensor) -> Tensor:
        """Choose.

        Args:
            input: logits of the student, [M, K].
            bag: which bag each instance is of, [M].
            bag_label: class of each bag, [B]; below 1 all its instances are kept.

        Returns:
            Which instances are kept, [M] boolean.
        """
        bag, bag_label = bag.reshape(-1), bag_label.reshape(-1)
        if input.ndim != 2 or len(bag) != len(input):
            raise ShapeMismatchError(f"student is {tuple(input.shape)}, bag {tuple(bag.shape)}", where="HardInstances")
        label = bag_label[bag]
        q = to_float(input).softmax(1).gather(1, label.clamp(min=0).unsqueeze(1)).squeeze(1)
        least = q.new_full((len(bag_label),), torch.inf).scatter_reduce(0, bag, q, "amin")
        return (label < 1) | (q <= self.threshold) | (q == least[bag])
