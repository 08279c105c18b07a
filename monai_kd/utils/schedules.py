# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Callable

from monai_kd.utils.errors import ConfigError

__all__ = ["Schedule", "constant", "cosine", "geometric", "linear", "ramp_up", "step"]

Schedule = Callable[[float], float]
"""A pure function of t, the epoch counted from 0."""


def _progress(t: float, length: float) -> float:
    """The fraction of `length` that has passed at `t`, clipped to [0, 1]; length 0 is over at once."""
    return 1.0 if length == 0 else min(max(t / length, 0.0), 1.0)


def _check(length: float) -> None:
    if not length >= 0:
        raise ConfigError(f"the length of a schedule must be >= 0, got {length}")


def ramp_up(length: float, peak: float = 1.0) -> Schedule:
    """Rise smoothly to `peak`: the Gaussian ramp-up of consistency weights.

    .. math:: w(t) = \\text{peak} \\cdot \\exp(-5 (1 - t / \\text{length})^2)

    t is clipped to [0, length]; length 0 gives peak.

    Args:
        length: epochs until `peak` is reached.
        peak: the value from then on.

    Laine & Aila, Temporal ensembling for semi-supervised learning, ICLR 2017.

    Example::

        >>> from monai_kd.utils import ramp_up
        >>> round(ramp_up(30)(0), 4), ramp_up(30, peak=2.0)(30), ramp_up(0)(0)
        (0.0067, 2.0, 1.0)
    """
    _check(length)
    return lambda t: peak * math.exp(-5.0 * (1.0 - _progress(t, length)) ** 2)


def linear(length: float, start: float = 0.0, end: float = 1.0) -> Schedule:
    """Go straight from `start` at t = 0 to `end` at t = length, and stay there.

    Args:
        length: epochs from `start` to `end`; 0 gives `end` at once.
        start: value at t = 0.
        end: value from t = length on.

    Example::

        >>> from monai_kd.utils import linear
        >>> linear(10)(5), linear(10, 4.0, 1.0)(20)
        (0.5, 1.0)
    """
    _check(length)
    return lambda t: start + (end - start) * _progress(t, length)


def geometric(length: float, start: float, end: float = 1.0) -> Schedule:
    """Go from `start` to `end` by equal factors, and stay there.

    .. math:: w(t) = \\text{end} \\cdot (\\text{start} / \\text{end})^{1 - t / \\text{length}}

    t is clipped to [0, length].

    Args:
        length: epochs from `start` to `end`; 0 gives `end` at once.
        start: value at t = 0, positive.
        end: value from t = length on, positive.

    Example::

        >>> from monai_kd.utils import geometric
        >>> geometric(2, 0.25)(1), geometric(2, 0.25)(20)
        (0.5, 1.0)
    """
    _check(length)
    if not (start > 0 and end > 0):
        raise ConfigError(f"equal factors lead between positive numbers, got {start} and {end}")
    return lambda t: end * (start / end) ** (1.0 - _progress(t, length))


def cosine(length: float, start: float = 1.0, end: float = 0.0) -> Schedule:
    """Go from `start` to `end` along half a cosine.

    .. math:: w(t) = \\text{end} + (\\text{start} - \\text{end}) (1 + \\cos(\\pi t / \\text{length})) / 2

    Args:
        length: epochs from `start` to `end`; 0 gives `end` at once.
        start: value at t = 0.
        end: value from t = length on.

    Example::

        >>> from monai_kd.utils import cosine
        >>> cosine(10)(0), round(cosine(10)(5), 6), cosine(10)(10)
        (1.0, 0.5, 0.0)
    """
    _check(length)
    return lambda t: end + (start - end) * (1.0 + math.cos(math.pi * _progress(t, length))) / 2.0


def step(length: float, before: float = 0.0, after: float = 1.0) -> Schedule:
    """Give `before` while t < length, `after` from then on.

    Args:
        length: the epoch of the change; 0 gives `after` from the start.
        before: value before it.
        after: value from it on.

    Example::

        >>> from monai_kd.utils import step
        >>> step(20)(19), step(20)(20)
        (0.0, 1.0)
    """
    _check(length)
    return lambda t: after if t >= length else before


def constant(value: float) -> Schedule:
    """Give `value` always.

    Args:
        value: what to give.

    Example::

        >>> from monai_kd.utils import constant
        >>> constant(0.5)(7)
        0.5
    """
    return lambda t: value
