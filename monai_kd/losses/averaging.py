# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_kd.losses.rows import class_index
from monai_kd.utils import unwrap

__all__ = ["called", "mean_parts"]


def called(loss: Callable) -> tuple[Callable, dict[str, Any]]:
    """Take `loss` out of `functools.partial` and `torch.compile`: what is called, and with which named arguments."""
    options: dict[str, Any] = {}
    while isinstance(loss, partial):
        options = {**loss.keywords, **options}
        loss = loss.func
    return (unwrap(loss) if isinstance(loss, nn.Module) else loss), options


def mean_parts(
    loss: Callable, tensors: Sequence[Tensor], keywords: Sequence[str] | None = None
) -> tuple[Tensor, Tensor] | None:
    """What a mean over rows divides by what, where not every row counts as 1, so that means can be joined.

    .. math:: L = \\frac{\\sum_i w_i x_i}{\\sum_i w_i}

    So it is of torch's cross-entropy (and negative log-likelihood) of class indices: w is 0 for `ignore_index`, and
    the weight of the row's class. And of a loss whose class attribute `selected_by` names the arguments that say which
    rows count, `label` (w is 0 for a row without a class) or `mask` (w), if one of them is given. A loss whose mean is
    over anything else (places, channels, bags, images) has a method `count`, of the arguments of its `forward`, which
    gives the denominator.

    Args:
        loss: whose reduction is to the mean.
        tensors: what it is called with.
        keywords: as which arguments; None: in order.

    Returns:
        Numerator and denominator, both 0 where nothing counts, or None: each row counts the same, or nothing is known.
    """
    function, options = called(loss)
    kind = type(function).forward if isinstance(function, nn.Module) else function
    cross_entropy = next((f for its, f in _CROSS_ENTROPIES if its is kind), None)
    if cross_entropy is not None:
        options = {name: getattr(function, name) for name in _OPTIONS if hasattr(function, name)} | options
        return _cross_entropy(cross_entropy, **options, **_arguments(cross_entropy, tensors, keywords))
    count, selected_by = getattr(function, "count", None), getattr(function, "selected_by", ())
    if not (callable(count) or selected_by) or getattr(function, "reduction", "mean") != "mean":
        return None
    arguments = {**options, **_arguments(function, tensors, keywords)}
    chosen = {name: arguments[name] for name in selected_by if arguments.get(name) is not None}
    if not (callable(count) or chosen):
        return None
    value = loss(*tensors) if keywords is None else loss(**arguments)
    if callable(count):
        weight = count(**arguments)
    else:
        weight = _rows_weight(arguments["input"], where=type(function).__name__, **chosen)
    return value * weight.to(value.dtype), weight


# modules by their class's forward: a subclass with its own is another loss
_CROSS_ENTROPIES: tuple[tuple[Any, Callable[..., Tensor]], ...] = (
    (nn.CrossEntropyLoss.forward, F.cross_entropy),
    (nn.NLLLoss.forward, F.nll_loss),
    (F.cross_entropy, F.cross_entropy),
    (F.nll_loss, F.nll_loss),
)
_OPTIONS = ("weight", "ignore_index", "label_smoothing", "reduction")


def _arguments(function: Callable, tensors: Sequence[Tensor], keywords: Sequence[str] | None) -> dict[str, Any]:
    if keywords is not None:
        return dict(zip(keywords, tensors, strict=True))
    return dict(inspect.signature(getattr(function, "forward", function)).bind_partial(*tensors).arguments)


def _cross_entropy(
    function: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    **options: Any,
) -> tuple[Tensor, Tensor] | None:
    if reduction != "mean" or target.is_floating_point():
        return None
    total = function(input, target, weight, ignore_index=ignore_index, reduction="sum", **options)
    known = target != ignore_index
    return total, known.sum() if weight is None else (weight[target * known] * known).sum()


def _rows_weight(input: Tensor, where: str, mask: Tensor | None = None, label: Tensor | None = None) -> Tensor:
    """The sum over rows [N, *spatial] of the weights that reductions of ours divide by."""
    weight = torch.ones((), dtype=torch.float64, device=input.device)
    if mask is not None:
        weight = weight * mask.detach().reshape(input.shape[0], *input.shape[2:])
    if label is not None:
        weight = weight * (class_index(label, input, where=where) >= 0)
    return weight.sum()
