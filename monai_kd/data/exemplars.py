# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_kd.utils.errors import DataError, ShapeMismatchError

__all__ = ["select_exemplars"]


@torch.no_grad()
def select_exemplars(features: Tensor, label: Tensor, per_class: int) -> Tensor:
    r"""Choose the samples that stand for each class when its others are not kept: herding, as of iCaRL.

    .. math:: p_k = \mathrm{argmin}_x \Bigl\| \mu_c - \frac{1}{k} \Bigl(\varphi(x) + \sum_{j < k} \varphi(p_j)\Bigr)
        \Bigr\|

    One after another those are taken whose mean comes nearest to the mean :math:`\mu_c` of the unit features
    :math:`\varphi` of the class, each once. The first m of them are what a memory of m has. Time O(N m D).

    Args:
        features: of the samples, as the network sees them, [N, D].
        label: class indices, [N]; a sample with a negative one is never chosen.
        per_class: m; a class with fewer samples gives all it has.

    Returns:
        Rows, [M], class by class, each in the order in which they were chosen.

    Raises:
        ShapeMismatchError: these are not [N, D] and [N].
        DataError: m is below 1.

    Rebuffi, Kolesnikov, Sperl, Lampert, iCaRL: incremental classifier and representation learning, CVPR 2017
    (arXiv 1611.07725).

    Example::

        >>> import torch
        >>> from monai_kd.data import select_exemplars
        >>> features = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
        >>> select_exemplars(features, torch.tensor([0, 0, 0, 1]), per_class=1)
        tensor([1, 3])
    """
    if features.ndim != 2 or label.shape != features.shape[:1]:
        shapes = f"features {tuple(features.shape)}, label {tuple(label.shape)}"
        raise ShapeMismatchError(f"must be [N, D] and [N], got {shapes}", where="select_exemplars")
    if per_class < 1:
        raise DataError(f"must be at least 1, got {per_class!r}", where="per_class")
    chosen = []
    for c in label[label >= 0].unique().tolist():
        rows = (label == c).nonzero().flatten()
        unit = F.normalize(features[rows].double(), dim=1)
        mean, total, left = unit.mean(0), torch.zeros_like(unit[0]), torch.ones(len(rows), dtype=torch.bool)
        for k in range(1, min(per_class, len(rows)) + 1):
            apart = (mean - (unit + total) / k).norm(dim=1)
            best = int(apart.masked_fill(~left.to(apart.device), torch.inf).argmin())
            left[best] = False
            total = total + unit[best]
            chosen.append(rows[best])
    return torch.stack(chosen) if chosen else label.new_zeros(0).long()
