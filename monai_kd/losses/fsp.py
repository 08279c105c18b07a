# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_kd.losses.checks import check_batch
from monai_kd.losses.functional import full_precision, pool_to
from monai_kd.losses.grams import cross_gram_difference
from monai_kd.utils import ShapeMismatchError

__all__ = ["FSPLoss"]

_CHUNK = 2**18  # entries of the matrices at a time


class FSPLoss(nn.Module):
    """Keep how a network turns one layer into another as the teacher does: the flow of the solution procedure.

    .. math:: L = \\frac{1}{N C_1 C_2} \\sum_n \\| G^s_n - G^t_n \\|_F^2, \\qquad G = \\frac{1}{S} F_1 F_2^T

    with F_1 and F_2 the maps of two layers, each over the S places of the smaller of the two (the larger is averaged
    over blocks). The gradient grows with the third power of the features: they may be float16 up to about 100. Time
    O(N C_1 C_2 S); of memory the gradients alone.

    Yim et al., A gift from knowledge distillation: fast optimization, network minimization and transfer learning,
    CVPR 2017.

    Example::

        >>> import torch
        >>> from monai_kd.losses import FSPLoss
        >>> first, second = torch.ones(1, 2, 4, 4), torch.ones(1, 3, 2, 2)
        >>> FSPLoss()(first, second, 2 * first, second)
        tensor(1.)
    """

    @full_precision
    def forward(self, input: Tensor, input_later: Tensor, target: Tensor, target_later: Tensor) -> Tensor:
        """Compare.

        Args:
            input: maps of an early layer of the student, [N, C_1, *spatial].
            input_later: maps of a later one, [N, C_2, *spatial].
            target: maps of the teacher's early layer, [N, C_1, *spatial]; its spatial size may be another.
            target_later: maps of the teacher's later layer, [N, C_2, *spatial]; no gradient flows into either.

        Returns:
            A scalar.

        Raises:
            ShapeMismatchError: the numbers of samples, axes or channels do not fit.
        """
        for name, s, t in (("early", input, target), ("later", input_later, target_later)):
            check_batch(s, t, where=f"FSPLoss, {name} layer", spatial=True)
            if s.shape[1] != t.shape[1]:
                raise ShapeMismatchError(
                    f"student is {tuple(s.shape)}, teacher {tuple(t.shape)}",
                    where=f"FSPLoss, {name} layer",
                    fix="tap layers with the same number of channels, or put a `Connector`",
                )
        check_batch(input, input_later, where="FSPLoss, the two layers", spatial=True)
        target, target_later = (x.detach().to(input.dtype) for x in (target, target_later))
        pairs = [x for a, b in ((input, input_later), (target, target_later)) for x in _same_size(a, b)]
        count = input.shape[1] * input_later.shape[1]
        step = max(1, _CHUNK // max(count, 1))
        whole = torch.compiler.is_compiling() or step >= input.shape[0]
        parts = [pairs] if whole else zip(*(x.split(step) for x in pairs), strict=True)
        total = torch.stack([cross_gram_difference(*part).square().sum() for part in parts]).sum()
        return (total / max(input.shape[0] * count, 1)).to(input.dtype)


def _same_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    size = [min(x, y) for x, y in zip(a.shape[2:], b.shape[2:], strict=True)]
    return pool_to(a, size).flatten(2), pool_to(b, size).flatten(2)
