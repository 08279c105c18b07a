# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_features
from monai_kd.losses.chunked import exact, sum_in_chunks
from monai_kd.losses.functional import full_precision
from monai_kd.losses.regions import check_regions, images_with_a_class, region_masks

__all__ = ["RegionContextLoss"]


class RegionContextLoss(nn.Module):
    """Pull features toward the teacher's, each class alike however small: the region part of ReCo-KD.

    .. math:: L = \\frac{1}{|I|} \\sum_{n \\in I} \\sum_c \\frac{w_c}{|O_c|} \\sum_{x \\in O_c}
        \\frac{1}{C} \\| F_s - F_t \\|^2, \\qquad w_c \\propto |O_c|^{-1/2}

    over the classes present in an image and the images I with one, with :math:`O_c` the places of class c and weights
    of mean 1. The paper's context part compares attention-pooled maps: `HintLoss` of what a `ContextPooling` gives. The
    formula is inferred from the abstract. In float64. Time O(N C K S); of memory the gradient alone, and one sample.

    Args:
        num_classes: K.

    Lan et al., ReCo-KD: region- and context-aware knowledge distillation for efficient 3D medical image segmentation,
    2026 (arXiv 2601.08301).

    Example::

        >>> import torch
        >>> from monai_kd.losses import RegionContextLoss
        >>> student, teacher = torch.zeros(1, 1, 4), torch.tensor([[[1.0, 1.0, 1.0, 2.0]]])
        >>> RegionContextLoss(num_classes=1)(student, teacher, label=torch.tensor([[0, 0, 0, -1]]))
        tensor(1.)
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = int(num_classes)

    @full_precision
    def forward(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: features of the teacher, the same shape; no gradient flows into them.
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
        check_regions(input, target, where="RegionContextLoss")
        check_features(input, target, where="RegionContextLoss")
        masks = region_masks(label, input, self.num_classes, where="RegionContextLoss")
        weight = _weight(exact(masks))
        total = sum_in_chunks(_apart, [input.flatten(2)], [target.flatten(2), weight], places=True, double=False)
        return total / images_with_a_class(masks).clamp(min=1)

    def count(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """How many images the mean is over: those with a class."""
        masks = region_masks(label, input, self.num_classes, where="RegionContextLoss")
        return images_with_a_class(masks).double()


def _apart(s: Tensor, t: Tensor, weight: Tensor) -> Tensor:
    return (s - t).square().mean(1) * weight


def _weight(masks: Tensor) -> Tensor:
    """What the squares at each place count for, [N, S]."""
    count = masks.sum(2)
    weight = count.clamp(min=1).rsqrt() * (count > 0)
    weight = weight / (weight.sum(1, keepdim=True) / (count > 0).sum(1, keepdim=True).clamp(min=1)).clamp(min=1e-30)
    return ((weight / count.clamp(min=1)).unsqueeze(2) * masks).sum(1)
