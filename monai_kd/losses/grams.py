# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact

__all__ = ["cosines", "grams"]

_CHUNK = 2**18  # entries of the features at a time


def grams(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How alike the samples of a batch are, for student and teacher: two Gram matrices [N, N] in float64.

    .. math:: G_s = F_s F_s^T = G_t + \\frac{1}{2} (D M^T + M D^T), \\qquad D = F_s - F_t, \\quad M = F_s + F_t

    Where both have the same width, the difference of the two is exact to the last digits of the features' own precision
    however near the student is; otherwise its error is that precision times the matrices' size. Products are made in
    the precision of the features, added up over slices in float64; nothing of the features' size is held but the
    gradient. Time O(N^2 D).

    Args:
        input: features of the student, [N, D].
        target: features of the teacher, [N, D']; no gradient flows into them.

    Returns:
        The student's and the teacher's matrix.

    Example::

        >>> import torch
        >>> from monai_kd.losses.grams import grams
        >>> grams(torch.eye(2), torch.ones(2, 3))[0]
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    target = target.detach()
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        width = max(input.shape[1], target.shape[1], 1)
        teacher = _gram(target, width)
        if input.shape != target.shape:
            return _gram(input, width), teacher
        near = _near(input, target, width)
        student = _gram_near(input, target, teacher, width)
        return torch.where(near & near.unsqueeze(1), student, _gram(input, width)), teacher
    return _Grams.apply(input, target)


def cosines(gram: Tensor) -> Tensor:
    """Cosine of the angle between every two samples, [N, N], from their Gram matrix; 0 where a sample is all zeros."""
    square = gram.diagonal()
    size = square.masked_fill(square <= 0, torch.inf).sqrt()
    return gram / size.unsqueeze(1) / size


def _gram(x: Tensor, width: int) -> Tensor:
    return sum((exact(part @ part.T) for part in x.split(width, 1)), exact(x.new_zeros(len(x), len(x))))


def _near(a: Tensor, b: Tensor, width: int) -> Tensor:
    """The samples whose difference is at most half as long as the teacher's features: [N]."""
    if a.shape != b.shape:
        return torch.zeros(len(a), dtype=torch.bool, device=a.device)
    pairs = zip(a.detach().split(width, 1), b.split(width, 1), strict=True)
    lengths = [(torch.linalg.vector_norm(x - y, dim=1), torch.linalg.vector_norm(y, dim=1)) for x, y in pairs]
    apart, size = (torch.linalg.vector_norm(exact(torch.stack(x)), dim=0) for x in zip(*lengths, strict=True))
    return apart <= size / 2


def _gram_near(a: Tensor, b: Tensor, teacher: Tensor, width: int) -> Tensor:
    pairs = zip(a.split(width, 1), b.split(width, 1), strict=True)
    change = sum((exact((x - y) @ (x + y).T) for x, y in pairs), torch.zeros_like(teacher))
    return teacher + (change + change.T) / 2


class _Grams(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a)
        width = max(1, _CHUNK // max(len(a), 1))
        teacher, near = _gram(b, width), _near(a, b, width)
        ctx.mark_non_differentiable(teacher)
        few = a.device.type == "cpu"  # elsewhere asking costs more than a product
        if few and not near.any():
            return _gram(a, width), teacher
        student = _gram_near(a, b, teacher, width)
        if few and near.all():
            return student, teacher
        return torch.where(near & near.unsqueeze(1), student, _gram(a, width)), teacher

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        return (grads[0] + grads[0].T).to(a.dtype) @ a, None
