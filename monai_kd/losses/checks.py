# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import torch
from torch import Tensor

from monai_kd.utils import ClassMismatchError, ConfigError, ShapeMismatchError

__all__ = [
    "check_batch",
    "check_features",
    "check_index",
    "check_logits",
    "check_margin",
    "check_mask",
    "check_positive",
    "check_reduction",
    "check_several_classes",
    "check_weights",
]


def check_reduction(reduction: str) -> str:
    """Return `reduction`, if it is one.

    Raises:
        ConfigError: it is not 'mean', 'sum' or 'none'.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return str(reduction)


def check_positive(value: float, name: str, least: float = 0.0) -> float:
    """Return `value`, if it is finite, above 0 and not below `least`.

    Raises:
        ConfigError: it is not; names the argument.
    """
    if not (value > 0 and value >= least and math.isfinite(value)):
        wanted = f"at least {least:g}" if least else "a positive number"
        raise ConfigError(f"{name} must be {wanted}, got {value!r}")
    return float(value)


def check_margin(margin: float) -> float:
    """Return `margin`, if it is a difference of probabilities.

    Raises:
        ConfigError: it is not in [0, 1].
    """
    if not 0 <= margin <= 1:
        raise ConfigError(f"margin must be in [0, 1], got {margin!r}")
    return float(margin)


def check_weights(**weights: float) -> tuple[float, ...]:
    """Return the weights of a loss's parts, if none is below 0 and one is above: 0 leaves a part out.

    Raises:
        ConfigError: they are not; names them.
    """
    if not (all(0 <= w < math.inf for w in weights.values()) and any(weights.values())):
        names, values = " and ".join(weights), ", ".join(f"{w!r}" for w in weights.values())
        raise ConfigError(f"{names} must be finite, none below 0, not all 0, got {values}")
    return tuple(map(float, weights.values()))


def check_index(index: Tensor, num_classes: int, *, where: str) -> None:
    """Check that labels are class indices; seen on a CPU alone, where reading a value waits for nothing.

    Args:
        index: class indices, which may be floating; negative ones belong to no class.
        num_classes: how many classes there are.
        where: name of the loss, for the message.

    Raises:
        ClassMismatchError: an index is no whole number, as 0.5 or nan, or is too large; names it.
    """
    if index.device.type == "cpu" and not torch.compiler.is_compiling() and index.numel():
        fix = "give classes that the networks know, and a negative label where there is none"
        if index.is_floating_point() and not torch.equal(index.long().to(index.dtype), index):
            raise ClassMismatchError("a label is no whole number", where=where, fix=fix)
        if (largest := int(index.max())) >= num_classes:
            last = f"of {num_classes} classes the last is {num_classes - 1}"
            raise ClassMismatchError(f"a label is {largest}, {last}", where=where, fix=fix)


def check_logits(input: Tensor, target: Tensor, mask: Tensor | None = None, *, where: str) -> None:
    """Check that student and teacher answer with the same classes for the same rows, and that the mask fits them.

    Args:
        input: logits of the student, [N, C] or [N, C, *spatial].
        target: logits of the teacher, the same shape.
        mask: which rows count, [N, *spatial] or [N, 1, *spatial].
        where: name of the loss, for the message.

    Raises:
        ClassMismatchError: the numbers of classes differ.
        ShapeMismatchError: anything else of the shapes differs, or there is no class axis.
        ConfigError: the mask is neither boolean nor floating.
    """
    s, t = tuple(input.shape), tuple(target.shape)
    if len(s) < 2:
        raise ShapeMismatchError(f"logits must be [N, C] or [N, C, *spatial], got {s}", where=where)
    if len(s) == len(t) and s[1] != t[1]:
        raise ClassMismatchError(
            f"student has {s[1]} classes, teacher {t[1]}",
            where=where,
            why=f"student is {s}, teacher {t}",
            fix="give both networks the same classes in the same order",
        )
    if s != t:
        raise ShapeMismatchError(
            f"student is {s}, teacher {t}", where=where, fix="resize or crop one of them before the loss"
        )
    if mask is not None:
        check_mask(mask, input, where=where)


def check_mask(mask: Tensor, input: Tensor, *, where: str) -> None:
    """Check that `mask` selects among the rows of `input`, [N, C, *spatial].

    Raises:
        ShapeMismatchError: it is neither [N, *spatial] nor [N, 1, *spatial].
        ConfigError: it is neither boolean nor floating.
    """
    n, _, *spatial = input.shape
    if tuple(mask.shape) not in ((n, *spatial), (n, 1, *spatial)):
        raise ShapeMismatchError(
            f"mask is {tuple(mask.shape)}, student {tuple(input.shape)}",
            where=where,
            fix=f"the mask must be {(n, *spatial)} or {(n, 1, *spatial)}",
        )
    if not (mask.dtype == torch.bool or mask.is_floating_point()):
        raise ConfigError(
            f"mask must be boolean or floating, got {mask.dtype}", where=where, fix="compare first, as in `label > 0`"
        )


def check_several_classes(input: Tensor, *, where: str, fix: str) -> None:
    """Check that a softmax over the classes of `input`, [N, C, *spatial], is not a constant.

    Raises:
        ConfigError: there is one class; `fix` says what to use instead.
    """
    if input.shape[1] < 2:
        raise ConfigError(
            f"student is {tuple(input.shape)}: a softmax over one class is always 1", where=where, fix=fix
        )


def check_features(input: Tensor, target: Tensor, *, where: str) -> None:
    """Check that two feature maps can be subtracted without broadcasting.

    Raises:
        ShapeMismatchError: their shapes differ.
    """
    if input.shape != target.shape:
        fix = "put a `Connector` between the student's tap and the loss"
        if input.shape[1:2] != target.shape[1:2] and target.ndim > 1:
            fix += f", or give the one that is there out_channels {target.shape[1]} (a bundle's teacher_channels)"
        raise ShapeMismatchError(
            f"student is {tuple(input.shape)}, teacher {tuple(target.shape)}", where=where, fix=fix
        )


def check_batch(input: Tensor, target: Tensor, *, where: str, spatial: bool = False) -> None:
    """Check that both are features [N, C, ...] of the same samples; channels and sizes may differ.

    Args:
        input: features of the student.
        target: features of the teacher.
        where: name of the loss, for the message.
        spatial: whether they must have as many spatial axes as each other, one to three.

    Raises:
        ShapeMismatchError: the numbers of samples or of axes differ, or there are too few axes.
    """
    s, t = tuple(input.shape), tuple(target.shape)
    if min(len(s), len(t)) < 2 or s[0] != t[0]:
        raise ShapeMismatchError(
            f"student is {s}, teacher {t}", where=where, fix="both must be features [N, ...] of the same N samples"
        )
    if spatial and not (len(s) == len(t) and 3 <= len(s) <= 5):
        raise ShapeMismatchError(
            f"student is {s}, teacher {t}", where=where, fix="both must be [N, C, *spatial] with 1, 2 or 3 spatial axes"
        )
