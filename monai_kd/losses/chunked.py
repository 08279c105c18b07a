# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

__all__ = ["exact", "is_transformed", "sum_in_chunks"]

_CHUNK = 2**18  # entries: a few float64 copies of so many stay in a processor's cache


def sum_in_chunks(
    values: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    others: Sequence[Tensor] = (),
    places: bool = False,
    entries: int | None = None,
    shared: Sequence[Tensor] = (),
    double: bool = True,
) -> Tensor:
    """Sum what `values` gives for samples, or samples and places, computed in float64, the gradient along with it.

    A formula written in plain torch operations becomes exact to float32's last digits, near convergence too, and keeps
    nothing for the backward but the gradient. On a CPU it runs chunk by chunk; a second derivative, other devices,
    `torch.compile` and `torch.func` take it in one piece. Devices without float64 compute in float32.

    Args:
        values: `values(*inputs, *others, *shared)` of a chunk, differentiable; its sum is added up. Each sample (and
            each place) must count for itself alone.
        inputs: what gets a gradient; floating, one first axis for all, and one last axis if `places`.
        others: constants that are cut alike; floating ones arrive in float64.
        places: cut along the last axis, too.
        entries: of the first input in one chunk.
        shared: what all places of a sample have in common and gets a gradient, too; cut along the first axis alone.
        double: False where a formula loses no digits in the precision of its inputs; the sum is one of float64 still.

    Example::

        >>> import torch
        >>> from monai_kd.losses.chunked import sum_in_chunks
        >>> sum_in_chunks(lambda x, y: (x - y) ** 2, [torch.ones(2, 3)], [torch.zeros(2, 3)])
        tensor(6.)
    """
    tensors = (*inputs, *(x.detach() for x in others), *shared)
    values = partial(_called, values, double)
    first = inputs[0]
    if first.device.type != "cpu" or is_transformed():
        return values(*tensors).sum().to(first.dtype)
    return _Sum.apply(values, len(shared), places, entries or _CHUNK, *tensors)


def _called(values: Callable[..., Tensor], double: bool, *tensors: Tensor) -> Tensor:
    return values(*map(exact, tensors)) if double else values(*tensors)


def is_transformed() -> bool:
    """Whether `torch.compile` or `torch.func` follows what is done, which must then be torch's own operations."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def exact(x: Tensor) -> Tensor:
    """Bring a floating tensor to float64, where the device has it."""
    return x.double() if x.is_floating_point() and x.device.type != "mps" else x


def _cuts(first: Tensor, places: bool, entries: int) -> Iterator[tuple[slice, slice | None]]:
    size = max(first[:1].numel(), 1)
    samples, last = max(1, entries // size), first.shape[-1]
    width = last if samples > 1 or not places else max(1, entries * last // size)
    for i in range(0, first.shape[0], samples):
        for j in range(0, last, width) if places and width < last else (0,):
            yield slice(i, i + samples), slice(j, j + width) if places else None


def _run(
    values: Callable[..., Tensor],
    shared: int,
    places: bool,
    entries: int,
    tensors: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum in float64, and the gradients of those tensors that want one."""
    total, cut = torch.zeros((), dtype=torch.float64), len(tensors) - shared
    gradients: list[Tensor | None] = [
        None if not w else torch.zeros_like(x) if k >= cut else torch.empty(x.shape, dtype=x.dtype)
        for k, (x, w) in enumerate(zip(tensors, wanted, strict=True))
    ]
    for i, j in _cuts(tensors[0], places, entries):
        at = [(i,) if j is None or k >= cut else (i, ..., j) for k in range(len(tensors))]
        parts = [x.detach()[here] for x, here in zip(tensors, at, strict=True)]
        leaves = [part.requires_grad_() for part, w in zip(parts, wanted, strict=True) if w]
        with torch.set_grad_enabled(bool(leaves)):
            value = values(*parts).sum()
        total += value.detach()
        if leaves:
            made = iter(torch.autograd.grad(value, leaves))
            for k, gradient in enumerate(gradients):
                if gradient is not None and k < cut:
                    gradient[at[k]] = next(made)
                elif gradient is not None:
                    gradient[at[k]] += next(made)
    return total, gradients


class _Sum(torch.autograd.Function):
    """Values and gradients at once."""

    @staticmethod
    def forward(
        ctx: Any, values: Callable[..., Tensor], shared: int, places: bool, entries: int, *tensors: Tensor
    ) -> Tensor:
        ctx.wanted = ctx.needs_input_grad[4:]
        ctx.save_for_backward(*tensors)
        ctx.values, ctx.run = values, partial(_run, values, shared, places, entries)
        total, ctx.gradients = ctx.run(tensors, ctx.wanted)
        return total.to(tensors[0].dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, values = ctx.saved_tensors, ctx.values
        none = (None, None, None, None)
        if torch.is_grad_enabled():  # a second derivative is wanted
            tensors = tuple(x.view_as(x) for x in tensors)  # each alone: what is shared may be made of the inputs
            asked = [x for x, w in zip(tensors, ctx.wanted, strict=True) if w]
            made = iter(
                torch.autograd.grad(values(*tensors).sum().to(grads[0].dtype), asked, grads[0], create_graph=True)
            )
            return (*none, *(next(made) if w else None for w in ctx.wanted))
        gradients, ctx.gradients = ctx.gradients, None  # handed on, so that they may be scaled in their place
        if gradients is None:  # the graph was retained
            gradients = ctx.run(tensors, ctx.wanted)[1]
        return (*none, *(g if g is None else g.mul_(grads[0]) for g in gradients))
