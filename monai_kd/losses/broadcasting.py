# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.averaging import called
from monai_kd.utils import ClassMismatchError, ShapeMismatchError

__all__ = ["refuse_to_broadcast"]

# torch's losses that compare their first two arguments, which must be of one shape
_COMPARING = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.KLDivLoss)
_FUNCTIONS = (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.kl_div)

Shape = tuple[int, ...]


def refuse_to_broadcast(loss: Callable, tensors: Sequence[Tensor]) -> None:
    """Check that `loss` would not broadcast the first two floating tensors it is given, student and teacher.

    Losses of this package check what they are given themselves. To a loss that is not torch's, a second tensor of one
    channel may be a map of classes, which many of MONAI's take: `[N, C, ...]` beside `[N, 1, ...]` passes.

    Args:
        loss: any callable, also a `functools.partial`.
        tensors: in the order in which they are given.

    Raises:
        ClassMismatchError: they differ in the number of classes alone.
        ShapeMismatchError: they differ in anything else.

    Example::

        >>> import torch
        >>> from monai_kd.losses.broadcasting import refuse_to_broadcast
        >>> refuse_to_broadcast(torch.nn.CosineSimilarity(), [torch.zeros(2, 3), torch.zeros(2, 1)])
        Traceback (most recent call last):
        monai_kd.utils.errors.ClassMismatchError: CosineSimilarity would broadcast (2, 3) against (2, 1). ...
    """
    if len(tensors) > 1 and tensors[0].shape == tensors[1].shape and all(t.is_floating_point() for t in tensors[:2]):
        return  # the usual case
    function, _ = called(loss)
    comparing = isinstance(function, _COMPARING) or any(function is f for f in _FUNCTIONS)
    pair = [t for t in tensors if isinstance(t, Tensor) and (comparing or t.is_floating_point())][:2]
    if len(pair) < 2 or pair[0].shape == pair[1].shape:
        return
    a, b = (tuple(t.shape) for t in pair)
    differ_in_classes = len(a) == len(b) > 1 and a[:1] + a[2:] == b[:1] + b[2:]
    if not comparing:
        package = (getattr(function, "__module__", None) or "torch").split(".")[0]  # builtins are torch's
        of_classes = differ_in_classes and b[1] == 1 and package != "torch"
        if package == "monai_kd" or of_classes or not _fits(a, b) or (len(a) != len(b) and package != "torch"):
            return
    raise (ClassMismatchError if differ_in_classes else ShapeMismatchError)(
        f"{getattr(function, '__name__', type(function).__name__)} would broadcast {a} against {b}",
        fix="give both the same shape, with a Connector for features",
    )


def _fits(a: Shape, b: Shape) -> bool:
    """Whether torch broadcasts one shape against the other."""
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))
