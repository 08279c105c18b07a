# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.chunked import exact
from monai_kd.losses.functional import full_precision
from monai_kd.losses.regions import check_regions, class_prototypes, images_with_a_class, region_masks
from monai_kd.losses.relations import cosine_similarity_matrix

__all__ = ["RegionAffinityLoss"]


class RegionAffinityLoss(nn.Module):
    """Keep how alike the regions of an image are as the teacher has it: region affinity of EMKD.

    .. math:: L = \\frac{1}{|I|} \\sum_{n \\in I} \\frac{1}{K_n^2} \\sum_{ij} (A^s_{ij} - A^t_{ij})^2, \\qquad
        A_{ij} = \\cos(\\mu_i, \\mu_j)

    over the :math:`K_n` classes present in an image and the images I with one, with :math:`\\mu_c` the mean of the
    features of class c. Widths may differ. Time O(N C K S); of memory the gradient alone.
    How means over pairs and images are taken is inferred.

    Args:
        num_classes: K.

    Qin et al., Efficient medical image segmentation based on knowledge distillation, TMI 2021 (arXiv 2108.09987).

    Example::

        >>> import torch
        >>> from monai_kd.losses import RegionAffinityLoss
        >>> student, teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 3, 2)
        >>> RegionAffinityLoss(num_classes=2)(student, teacher, label=torch.tensor([[0, 1]]))
        tensor(0.5000)
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
        check_regions(input, target, where="RegionAffinityLoss")
        masks = region_masks(label, input, self.num_classes, where="RegionAffinityLoss")
        v_s, v_t = (class_prototypes(x.flatten(2), masks) for x in (input, target.detach()))
        present = exact(masks.any(2).to(input.dtype))
        pairs = present.unsqueeze(1) * present.unsqueeze(2)
        a_s, a_t = (cosine_similarity_matrix(v.mT) for v in (v_s, v_t))
        apart = ((a_s - a_t) * pairs).square().sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
        return (apart.sum() / images_with_a_class(masks).clamp(min=1)).to(input.dtype)

    def count(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """How many images the mean is over: those with a class."""
        masks = region_masks(label, input, self.num_classes, where="RegionAffinityLoss")
        return images_with_a_class(masks).double()
