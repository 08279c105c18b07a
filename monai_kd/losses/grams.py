# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from monai_kd.losses.chunked import exact, is_transformed

__all__ = ["cosines", "cross_gram_difference", "grams", "inverse_lengths", "of_grams"]

_CHUNK = 2**18  # entries of the features at a time


def grams(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How alike rows are, for student and teacher: Gram matrices [..., N, N] in float64.

    .. math:: G_s = F_s F_s^T = G_t + \\frac{1}{2} (D M^T + M D^T), \\qquad D = F_s - F_t, \\quad M = F_s + F_t

    Where both have the same width, the difference of the two is exact to the last digits of the features' own precision
    however near the student is; otherwise its error is that precision times the matrices' size. Products are made in
    the precision of the features, added up over slices in float64; nothing of the features' size is held but the
    gradient. Time O(N^2 D).

    Args:
        input: rows of the student, [..., N, D].
        target: rows of the teacher, [..., N, D']; no gradient flows into them.

    Returns:
        The student's and the teacher's matrices.

    Example::

        >>> import torch
        >>> from monai_kd.losses.grams import grams
        >>> grams(torch.eye(2), torch.ones(2, 3))[0]
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    target = target.detach()
    if is_transformed():
        return _grams(input, target)
    return _Grams.apply(input, target)


def of_grams(
    value: Callable[[Tensor, Tensor], Tensor],
    value_and_gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    input: Tensor,
    target: Tensor,
    enough: Callable[[Tensor], bool] | None = None,
    finer: Callable[[Tensor], Tensor] = exact,
) -> Tensor:
    """`value(*grams(input, target))`, in the precision of the input, its gradient made along with it in closed form.

    A second derivative, `torch.compile` and `torch.func` take `value` alone. Time and memory as `grams`.

    Args:
        value: of the two matrices, a scalar; differentiable.
        value_and_gradient: the same, without a graph, and its gradient with respect to the student's matrix, [N, N].
        input: rows of the student, [N, D].
        target: rows of the teacher, [N, D']; no gradient flows into them.
        enough: whether a matrix of the rows as they are has digits enough; where not, near the teacher, and where it
            costs time to ask (not on a CPU), `finer` rows are taken.
        finer: makes rows from which the value is the same, with more digits.

    Example::

        >>> import torch
        >>> from monai_kd.losses.grams import of_grams
        >>> input = torch.ones(2, 3, requires_grad=True)
        >>> difference = lambda s, t: (s - t).sum()
        >>> total = of_grams(difference, lambda s, t: (difference(s, t), torch.ones_like(s)), input, torch.eye(2))
        >>> total.backward()
        >>> total, input.grad[0]
        (tensor(10., grad_fn=<_OfGramsBackward>), tensor([4., 4., 4.]))
    """
    target = target.detach()
    if is_transformed():
        return _value(value, finer if enough else None, input, target)
    return _OfGrams.apply(value, value_and_gradient, enough, finer, input, target)


def cross_gram_difference(input: Tensor, input_other: Tensor, target: Tensor, target_other: Tensor) -> Tensor:
    """How much more alike the rows of two maps are in the student than in the teacher: [B, N, M] in float64.

    .. math:: \\frac{F_s F_s'^T}{S} - \\frac{F_t F_t'^T}{S'}

    Where both have the same width it is :math:`((F_s - F_t) F_s'^T + F_t (F_s' - F_t')^T) / S`, exact however near the
    student is. Time and memory as `grams`.

    Args:
        input: rows of the student, [B, N, S].
        input_other: other rows of the student, [B, M, S].
        target: rows of the teacher, [B, N, S'].
        target_other: other rows of the teacher, [B, M, S']; no gradient flows into either.
    """
    target, target_other = target.detach(), target_other.detach()
    if is_transformed():
        return _cross_difference(input, input_other, target, target_other)
    return _CrossDifference.apply(input, input_other, target, target_other)


def inverse_lengths(gram: Tensor) -> Tensor:
    """One over the length of every sample, [..., N], from their Gram matrix; 0 where a sample is all zeros."""
    square = gram.diagonal(dim1=-2, dim2=-1)
    return square.masked_fill(square <= 0, torch.inf).sqrt().reciprocal()


def cosines(gram: Tensor) -> Tensor:
    """Cosine of the angle between every two samples, from their Gram matrix [..., N, N]; 0 where one is all zeros."""
    inverse = inverse_lengths(gram)
    return gram * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)


def _width(x: Tensor) -> int:
    """How many columns are taken at a time."""
    return max(1, x.shape[-1] if is_transformed() else max(x.shape[-2], _CHUNK // max(math.prod(x.shape[:-1]), 1)))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """X Y^T."""
    width = _width(x)
    if width >= x.shape[-1]:
        return exact(x @ y.mT)
    total = exact(x.new_zeros((*x.shape[:-1], y.shape[-2])))
    for a, b in zip(x.split(width, -1), y.split(width, -1), strict=True):
        total = total + exact(a @ b.mT)
    return total


def _change(x: Tensor, y: Tensor, x_0: Tensor, y_0: Tensor) -> Tensor:
    """(X - X_0) (Y + Y_0)^T."""
    width = _width(x)
    total = exact(x.new_zeros((*x.shape[:-1], y.shape[-2])))
    for a, b, a_0, b_0 in zip(*(z.split(width, -1) for z in (x, y, x_0, y_0)), strict=True):
        total = total + exact((a - a_0) @ (b + b_0).mT)
    return total


def _near(x: Tensor, x_0: Tensor, gram_0: Tensor) -> Tensor:
    """The rows whose difference from the teacher's is at most half as long as the teacher's: [..., N]."""
    width, size = _width(x), gram_0.diagonal(dim1=-2, dim2=-1).sqrt()
    if width >= x.shape[-1]:
        return torch.linalg.vector_norm(x.detach() - x_0, dim=-1) <= size / 2
    pairs = zip(x.detach().split(width, -1), x_0.split(width, -1), strict=True)
    lengths = [torch.linalg.vector_norm(a - b, dim=-1) for a, b in pairs]
    return torch.linalg.vector_norm(exact(torch.stack(lengths)), dim=0) <= size / 2


def _choose(near: Tensor, student: Callable[[], Tensor], own: Callable[[], Tensor]) -> Tensor:
    """`student()` between rows that are near, `own()` elsewhere; on a CPU, where asking is cheap, what is needed."""
    if near.device.type == "cpu" and not is_transformed():
        if not near.any():
            return own()
        if near.all():
            return student()
    return torch.where(near.unsqueeze(-1) & near.unsqueeze(-2), student(), own())


def _grams(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    teacher = _product(b, b)
    if a.shape != b.shape:
        return _product(a, a), teacher
    near = _near(a, b, teacher)

    def student() -> Tensor:
        change = _change(a, a, b, b)
        return teacher + (change + change.mT) / 2

    return _choose(near, student, lambda: _product(a, a)), teacher


def _enough_grams(a: Tensor, b: Tensor, enough: Callable[[Tensor], bool]) -> tuple[Tensor, Tensor] | None:
    """`_grams` where no row is near the teacher's and both have digits enough; None elsewhere, and not on a CPU."""
    if a.device.type != "cpu":
        return None
    teacher = _product(b, b)
    if a.shape == b.shape and _near(a, b, teacher).any():
        return None
    found = _product(a, a), teacher
    return found if all(map(enough, found)) else None


def _cross_difference(a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
    if a.shape[-1] != b.shape[-1]:
        return _product(a, c) / a.shape[-1] - _product(b, d) / b.shape[-1]
    width = _width(a)
    slices = zip(*(x.split(width, -1) for x in (a, c, b, d)), strict=True)
    parts = [torch.baddbmm((s - t) @ s_other.mT, t, (s_other - t_other).mT) for s, s_other, t, t_other in slices]
    if len(parts) == 1:
        return exact(parts[0] / a.shape[-1])
    return torch.stack(parts).sum(0, dtype=exact(parts[0]).dtype) / a.shape[-1]


class _Grams(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a)
        student, teacher = _grams(a, b)
        ctx.mark_non_differentiable(teacher)
        return student, teacher

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        return (grads[0] + grads[0].mT).to(a.dtype) @ a, None


def _value(value: Callable, finer: Callable | None, a: Tensor, b: Tensor) -> Tensor:
    return value(*(_grams(finer(a), finer(b)) if finer else _grams(a, b))).to(a.dtype)


class _OfGrams(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Callable,
        value_and_gradient: Callable,
        enough: Callable | None,
        finer: Callable,
        a: Tensor,
        b: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        found = _enough_grams(a, b, enough) if enough else _grams(a, b)
        ctx.finer = finer if found is None else None
        total, ctx.gradient = value_and_gradient(*(_grams(finer(a), finer(b)) if found is None else found))
        ctx.value = partial(_value, value, finer if enough else None)
        return total.to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, None, Tensor, None]:
        a, b = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted
            by_rows = torch.autograd.grad(ctx.value(a, b), a, grads[0], create_graph=True)[0]
        else:
            gradient, rows = ctx.gradient * grads[0], ctx.finer(a) if ctx.finer else a
            by_rows = ((gradient + gradient.mT).to(rows.dtype) @ rows).to(a.dtype)
        return None, None, None, None, by_rows, None


class _CrossDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, b: Tensor, d: Tensor) -> Tensor:
        ctx.save_for_backward(a, c)
        return _cross_difference(a, c, b, d)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, c = ctx.saved_tensors
        g = (grads[0] / a.shape[-1]).to(a.dtype)
        return g @ c, g.mT @ a, None, None
