# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_features, check_mask, check_reduction
from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision, keep_selected, reduce_rows
from monai_kd.utils import ConfigError, ShapeMismatchError

__all__ = ["BoxTransferLoss", "generalized_iou"]


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """How much two boxes overlap, and how far they are apart if they do not: [N] in (-1, 1].

    .. math:: \\frac{|A \\cap B|}{|A \\cup B|} - \\frac{|H| - |A \\cup B|}{|H|}

    with H the smallest box around both. Boxes without a volume overlap nothing.

    Args:
        a: centre and size of boxes in d dimensions, [N, 2 d]: (x, y, w, h), or (x, y, z, w, h, d).
        b: others, the same shape.

    Example::

        >>> import torch
        >>> from monai_kd.losses.box_transfer import generalized_iou
        >>> left, right = torch.tensor([[0.5, 0.5, 1.0, 1.0]]), torch.tensor([[1.0, 0.5, 1.0, 1.0]])
        >>> generalized_iou(left, right)
        tensor([0.3333])
    """
    (low_a, high_a), (low_b, high_b) = (_corners(x) for x in (a, b))
    both = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(1)
    either = (high_a - low_a).prod(1) + (high_b - low_b).prod(1) - both
    hull = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(1)
    flat = hull <= 0
    apart = ((hull - either) / hull.masked_fill(flat, 1)).masked_fill(flat, 0)
    return both / either.masked_fill(either <= 0, 1) - apart


def _corners(box: Tensor) -> tuple[Tensor, Tensor]:
    centre, half = box[:, : box.shape[1] // 2], box[:, box.shape[1] // 2 :].clamp(min=0) / 2
    return centre - half, centre + half


class BoxTransferLoss(nn.Module):
    """Let the student find the region that the teacher learnt to look at, as a box: transfer of visual attention.

    .. math:: L = \\frac{1}{N} \\sum_n \\Bigl( w_g (1 - \\mathrm{GIoU}(b^s_n, b^t_n))
        + \\frac{w_m}{2 d} \\| b^s_n - b^t_n \\|^2 \\Bigr)

    with b the centre and the size of a box in d dimensions. (The authors' code hands centre and size to a function that
    wants corners; this one does not.) In float64. Time and memory O(N d).

    Args:
        giou_weight: w_g.
        mse_weight: w_m.
        reduction: over samples: 'mean', 'sum' or 'none' ([N]).

    Raises:
        ConfigError: a weight is negative or infinite, the reduction unknown.

    Bhattacharya et al., RadioTransformer: a cascaded global-focal transformer, ECCV 2022 (arXiv 2202.11781).

    Example::

        >>> import torch
        >>> from monai_kd.losses import BoxTransferLoss
        >>> left, right = torch.tensor([[0.5, 0.5, 1.0, 1.0]]), torch.tensor([[1.0, 0.5, 1.0, 1.0]])
        >>> BoxTransferLoss()(left, right)
        tensor(0.1833)
    """

    selected_by = ("mask",)

    def __init__(self, giou_weight: float = 0.2, mse_weight: float = 0.8, reduction: str = "mean") -> None:
        super().__init__()
        if not (0 <= giou_weight < torch.inf and 0 <= mse_weight < torch.inf):
            raise ConfigError(f"weights must be finite and not negative, got {giou_weight!r} and {mse_weight!r}")
        self.giou_weight, self.mse_weight = float(giou_weight), float(mse_weight)
        self.reduction = check_reduction(reduction)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Compare.

        Args:
            input: boxes of the student, [N, 2 d], centre and size, as parts of the image's edges.
            target: boxes of the teacher, the same shape; no gradient flows into them.
            mask: which samples have a box, [N], boolean or weights; what stands in the others does not matter.

        Returns:
            A scalar, or [N] without reduction.

        Raises:
            ShapeMismatchError: the shapes differ, or are not [N, 2 d] of one to three dimensions.
            ConfigError: the mask is neither boolean nor floating.
        """
        check_features(input, target, where="BoxTransferLoss")
        if input.ndim != 2 or input.shape[1] not in (2, 4, 6):
            fix = "give boxes [N, 2 d] as centre and size: [N, 4] in 2-D, [N, 6] in 3-D"
            raise ShapeMismatchError(f"student is {tuple(input.shape)}", where="BoxTransferLoss", fix=fix)
        if mask is not None:
            check_mask(mask, input, where="BoxTransferLoss")
        s, t = map(exact, keep_selected(mask, input, target.detach()))
        rows = self.giou_weight * (1 - generalized_iou(s, t)) + self.mse_weight * (s - t).square().mean(1)
        return reduce_rows(rows, self.reduction, mask).to(input.dtype)
