# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_kd.losses.checks import check_batch, check_positive
from monai_kd.losses.exact_attention import exact_attention_map
from monai_kd.losses.functional import full_precision, reduce_rows, resize_map
from monai_kd.losses.relations import unit

__all__ = ["AttentionTransferLoss"]


class AttentionTransferLoss(nn.Module):
    """Pull the student's spatial attention toward the teacher's.

    .. math:: L = \\frac{1}{N S} \\sum_{n=1}^{N} \\Bigl\\| \\frac{a_s}{\\|a_s\\|_2} - \\frac{a_t}{\\|a_t\\|_2}
        \\Bigr\\|_2^2, \\qquad a_x = \\frac{1}{C} \\sum_c |F_{cx}|^p

    over the S positions of a sample, whatever the numbers of channels. Where the maps differ in size each is brought
    to the smaller size of the two, axis by axis, by adaptive average pooling: nearly always the teacher's to the
    student's. The paper's norm without the square is not used: its gradient does not vanish where the two agree.
    In float64. Time O(N C S); of memory the gradient alone.

    Args:
        p: power applied to activations before averaging channels; larger looks at fewer places. At least 1.

    Raises:
        ConfigError: p is below 1.

    Zagoruyko & Komodakis, Paying more attention to attention, ICLR 2017 (arXiv 1612.03928).

    Example::

        >>> import torch
        >>> from monai_kd.losses import AttentionTransferLoss
        >>> student, teacher = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0], [0.0, 3.0]]])
        >>> round(float(AttentionTransferLoss()(student, teacher)), 4)  # one channel looks left, two look right
        1.0
    """

    def __init__(self, p: float = 2.0) -> None:
        super().__init__()
        self.p = check_positive(p, "p", least=1.0)

    @full_precision
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compare.

        Args:
            input: features of the student, [N, C, *spatial], spatial in one to three dimensions.
            target: features of the teacher, [N, C', *spatial']; no gradient flows into them.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples or of axes differ, or there are no spatial axes.
        """
        check_batch(input, target, where="AttentionTransferLoss", spatial=True)
        target = target.detach()
        size = [min(s, t) for s, t in zip(input.shape[2:], target.shape[2:], strict=True)]
        student, teacher = (self._map(x, size) for x in (input, target))
        return reduce_rows((unit(student) - unit(teacher)).square()).to(input.dtype)

    def _map(self, features: Tensor, size: Sequence[int]) -> Tensor:
        places = exact_attention_map(features, self.p).reshape(features.shape[0], *features.shape[2:])
        return resize_map(places, size).flatten(1)
