# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from monai_kd.metrics.classification import Values, as_array
from monai_kd.utils.errors import DataError

__all__ = ["Interval", "bootstrap_draws", "bootstrap_interval", "drawn_groups", "percentile_interval", "resampled_rows"]


class Interval(NamedTuple):
    """A score, its bootstrap interval, and how many resamples it could not be computed on."""

    value: float  #: the score on all cases
    low: float  #: lower end; nan if there is no interval
    high: float  #: upper end
    undefined: int  #: resamples on which the score was nan (as an AUC with one class), left out of the interval


def resampled_rows(group: Values, n: int = 2000, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw as many groups as there are, with replacement, `n` times, and yield the rows of the drawn groups.

    Args:
        group: the group of each case (patient, slide, block), [N]; any values.
        n: how many resamples.
        seed: of the draws.

    Example::

        >>> from monai_kd.metrics import resampled_rows
        >>> [rows.tolist() for rows in resampled_rows(["a", "b", "b"], n=2, seed=0)]
        [[1, 2, 1, 2], [1, 2, 0]]
    """
    _, member = np.unique(as_array(group), return_inverse=True)
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    for drawn in drawn_groups(len(rows), n, seed):
        yield np.concatenate([rows[i] for i in drawn])


def drawn_groups(groups: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many of `groups` groups as there are, with replacement, `n` times: which, [groups].

    Args:
        groups: how many there are.
        n: how many resamples.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    return (generator.integers(groups, size=groups) for _ in range(n))


def bootstrap_draws(
    metric: Callable[[np.ndarray, np.ndarray], ArrayLike],
    label: Values,
    probability: Values,
    group: Values,
    n: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Compute a metric on `n` resamples of whole groups.

    Two networks tested on the same cases see the same resamples, so the differences of their draws are paired ones.
    With one group there is nothing to resample, and every draw is nan.

    Args:
        metric: takes labels [N] and probabilities [N, ...] and returns a score, or several.
        label: true classes, [N].
        probability: class probabilities, [N, ...].
        group: the group of each case (patient, slide, block), [N].
        n: how many resamples.
        seed: of the draws.

    Returns:
        [n], or [n, M] if the metric returns M scores.

    Raises:
        DataError: `label`, `probability` and `group` are not of the same cases.

    Example::

        >>> from monai_kd.metrics import accuracy, bootstrap_draws
        >>> bootstrap_draws(accuracy, [0, 0, 1], [[0.9, 0.1]] * 3, group=["a", "a", "b"], n=2).tolist()
        [0.0, 0.6666666666666666]
    """
    y, p, g = as_array(label), as_array(probability), as_array(group)
    if g.ndim != 1 or not len(y) == len(p) == len(g) > 0:
        raise DataError(f"{list(g.shape)} for {len(y)} labels and {len(p)} rows of probability", where="group")
    if len(np.unique(g)) < 2:
        return np.full((n, *np.shape(metric(y, p))), np.nan)
    return np.array([metric(y[rows], p[rows]) for rows in resampled_rows(g, n, seed)], dtype=float)


def percentile_interval(value: float, draws: ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval that holds the middle of the draws; those that are nan are counted and left out.

    .. math:: [Q_{(1-l)/2}, Q_{(1+l)/2}] \\text{ of the draws}

    Args:
        value: the score on all cases.
        draws: the score on each resample, [n].
        level: of the interval, l.

    Example::

        >>> from monai_kd.metrics import percentile_interval
        >>> percentile_interval(0.5, [0.0, 0.5, 1.0, float("nan")], level=0.5)
        Interval(value=0.5, low=0.25, high=0.75, undefined=1)
    """
    every = as_array(draws)
    defined = every[~np.isnan(every)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if len(defined) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high), len(every) - len(defined))


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    label: Values,
    probability: Values,
    group: Values,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a metric over disjoint groups of cases (the cluster bootstrap).

    Cases of one patient, or overlapping patches of one block, are not independent: resampling them one by one gives
    an interval that is too narrow. Whole groups are drawn instead, with replacement, as many as there are:

    .. math:: [Q_{(1-l)/2}, Q_{(1+l)/2}] \\text{ of } m(r_1), \\dots, m(r_n)

    One group alone gives no interval (nan). With fewer than about ten, the interval is still too narrow.

    Args:
        metric: takes labels [N] and probabilities [N, ...]; any of this package's. Stack two networks' probabilities,
            [N, 2, C], to have the interval of a paired difference.
        label: true classes, [N].
        probability: class probabilities, [N, ...].
        group: the group of each case (patient, slide, block), [N].
        n: how many resamples.
        seed: of the draws.
        level: of the interval, l.

    Raises:
        DataError: `label`, `probability` and `group` are not of the same cases.

    Efron & Tibshirani, *An introduction to the bootstrap*, 1993, sections 8.5 and 13.3.

    Example::

        >>> from monai_kd.metrics import accuracy, bootstrap_interval
        >>> bootstrap_interval(accuracy, [0, 0, 1, 1], [[0.9, 0.1]] * 4, group=["a", "a", "b", "b"])
        Interval(value=0.5, low=0.0, high=1.0, undefined=0)
    """
    draws = bootstrap_draws(metric, label, probability, group, n, seed)
    return percentile_interval(metric(as_array(label), as_array(probability)), draws, level)
