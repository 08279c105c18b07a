# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.functional import full_precision, pool_to
from monai_kd.losses.unit_scales import unit_apart_total
from monai_kd.utils import ShapeMismatchError

__all__ = ["CAMTransferLoss"]


class CAMTransferLoss(nn.Module):
    """Let the student find a class where the teacher finds it: transfer of class activation maps.

    .. math:: L = \\frac{1}{N K S} \\sum_{n=1}^{N} \\sum_{k=1}^{K} \\Bigl\\|
        \\frac{a^s_{nk}}{\\|a^s_{nk}\\|_2} - \\frac{a^t_{nk}}{\\|a^t_{nk}\\|_2} \\Bigr\\|_2^2

    over the S places of the maps of K classes, as `AttentionTransferLoss` compares where a whole layer looks. Where the
    maps differ in size each is brought to the smaller of the two, axis by axis. The maps come from passes,
    `ClassActivation` for the student, whose map is a derivative of its answer (the backward then is a second one), and
    `ClassActivationTeacher`. Time O(N K S); of memory the gradient alone.

    The form is ours: class activation maps (Selvaraju et al., Grad-CAM, ICCV 2017, arXiv 1610.02391) compared as
    attention is (Zagoruyko & Komodakis, ICLR 2017, arXiv 1612.03928).

    Example::

        >>> import torch
        >>> from monai_kd.losses import CAMTransferLoss
        >>> CAMTransferLoss()(torch.tensor([[[3.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]]))
        tensor(1.)
    """

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of the student, [N, K, *spatial], spatial in one to three dimensions.
            target: maps of the teacher for the same classes, [N, K, *spatial']; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: samples, classes or the number of axes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="CAMTransferLoss", spatial=True)
        if input.shape[1] != target.shape[1]:
            raise ShapeMismatchError(
                f"student has maps of {input.shape[1]} classes, teacher of {target.shape[1]}",
                where="CAMTransferLoss",
                fix="give the maps of the same classes",
            )
        size = [min(s, t) for s, t in zip(input.shape[2:], target.shape[2:], strict=True)]
        s, t = (pool_to(x, size).flatten(2).flatten(0, 1) for x in (input, target.detach()))
        return unit_apart_total(s, t) / max(s.numel(), 1)
