# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision
from monai_kd.losses.regions import check_regions, class_prototypes, region_masks
from monai_kd.losses.relations import unit

__all__ = ["IntraClassVariationLoss"]


class IntraClassVariationLoss(nn.Module):
    """Keep how far each place is from the mean of its class as the teacher has it: intra-class feature variation.

    .. math:: L = \\frac{1}{M} \\sum_x (v^s_x - v^t_x)^2, \\qquad v_x = \\cos(F_x, \\mu_{y(x)})

    over the M places with a class, with :math:`\\mu_c` the mean of the features of class c in the same image. Widths
    may differ. Time O(N C K S); of memory the gradient alone.

    Args:
        num_classes: K.

    Wang et al., Intra-class feature variation distillation for semantic segmentation, ECCV 2020.

    Example::

        >>> import torch
        >>> from monai_kd.losses import IntraClassVariationLoss
        >>> student, teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 3, 2)
        >>> IntraClassVariationLoss(num_classes=1)(student, teacher, label=torch.tensor([[0, 0]]))
        tensor(0.0858)
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = int(num_classes)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: features of the teacher, [N, C', *spatial]; no gradient flows into them.
            label: class of every place, [N, *spatial] or [N, 1, *spatial] (negative: none, which keeps a place
                out as a mask would), or one-hot [N, K, *spatial] (all zero: none), of any spatial size: it is brought
                to the maps' by nearest neighbour.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the samples or the spatial sizes differ, there are no spatial axes, or the label
                does not fit.
            ClassMismatchError: a label is not below `num_classes`, or a place has two.
        """
        check_regions(input, target, where="IntraClassVariationLoss")
        masks = region_masks(label, input, self.num_classes, where="IntraClassVariationLoss")
        s, t = input.flatten(2), target.detach().flatten(2)
        centres = [unit(class_prototypes(x, masks), 1) for x in (s, t)]
        total = sum_in_chunks(_apart, [s], [t, masks], places=True, shared=centres)
        return total / masks.sum().clamp(min=1)

    def count(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """How many places the mean is over: those with a class."""
        masks = region_masks(label, input, self.num_classes, where="IntraClassVariationLoss")
        return masks.sum(dtype=torch.float64)


def _apart(s: Tensor, t: Tensor, masks: Tensor, centres_s: Tensor, centres_t: Tensor) -> Tensor:
    m_s, m_t = ((unit(x, 1) * (v @ masks)).sum(1) for x, v in ((s, centres_s), (t, centres_t)))
    return ((m_s - m_t) * masks.sum(1)).square().sum(1)
