# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.chunked import sum_in_chunks
from monai_kd.losses.functional import full_precision
from monai_kd.losses.regions import check_regions, class_prototypes, images_with_a_class, region_masks
from monai_kd.losses.relations import unit

__all__ = ["PrototypeKDLoss"]


class PrototypeKDLoss(nn.Module):
    """Keep how near each place is to the prototype of every class as the teacher has it: ProtoKD.

    .. math:: L = \\frac{1}{|I|} \\sum_{n \\in I} \\frac{1}{S K_n} \\sum_x \\sum_c (M^s_{cx} - M^t_{cx})^2, \\qquad
        M_{cx} = \\cos(F_x, \\mu_c)

    over the S places of an image, the :math:`K_n` classes present in it and the images I with one: within classes for
    c = y(x), between classes otherwise. :math:`\\mu_c` is the mean of the features of class c in the image. Widths may
    differ. Time O(N C K S); of memory the gradient alone.

    Args:
        num_classes: K.

    Wang et al., Prototype knowledge distillation for medical segmentation with missing modality, ICASSP 2023
    (arXiv 2303.09830).

    Example::

        >>> import torch
        >>> from monai_kd.losses import PrototypeKDLoss
        >>> student, teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 3, 2)
        >>> PrototypeKDLoss(num_classes=2)(student, teacher, label=torch.tensor([[0, 1]]))
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
        check_regions(input, target, where="PrototypeKDLoss")
        masks = region_masks(label, input, self.num_classes, where="PrototypeKDLoss")
        s, t = input.flatten(2), target.detach().flatten(2)
        prototypes = [unit(class_prototypes(x, masks), 1) for x in (s, t)]  # zeros for absent classes
        present = masks.any(2).sum(1).clamp(min=1).to(masks.dtype)
        weight = (1 / (present * s.shape[2])).reshape(-1, 1, 1)
        total = sum_in_chunks(_apart, [s], [t], places=True, shared=[*prototypes, weight])
        return total / images_with_a_class(masks).clamp(min=1)

    def count(self, input: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """How many images the mean is over: those with a class."""
        masks = region_masks(label, input, self.num_classes, where="PrototypeKDLoss")
        return images_with_a_class(masks).double()


def _apart(s: Tensor, t: Tensor, prototypes_s: Tensor, prototypes_t: Tensor, weight: Tensor) -> Tensor:
    m_s, m_t = (v.mT @ unit(x, 1) for x, v in ((s, prototypes_s), (t, prototypes_t)))  # [m, K, places]
    return (m_s - m_t).square().sum(1) * weight.squeeze(1)
