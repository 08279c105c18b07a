# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monai_kd.metrics.classification import Values, as_array, checked
from monai_kd.metrics.finding_curves import mean_average_precision
from monai_kd.utils.errors import DataError

__all__ = ["shot_scores"]


def shot_scores(label: Values, probability: Values, subsets: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Score common and rare classes by themselves: what a long tail hides in an average.

    .. math:: s_k = \\frac{1}{|S_k \\cap K|} \\sum_{c \\in S_k \\cap K} s_c

    with :math:`S_k` the classes of subset k, K the classes that occur in `label`, and :math:`s_c` the recall of class c
    or, where findings may occur together, its average precision. A subset none of whose classes occurs is nan, and the
    mean over subsets leaves it out.

    Args:
        label: true classes, [N], or findings, [N, C] of 0 and 1.
        probability: of the classes or the findings, [N, C].
        subsets: classes of each subset by its name, as `monai_kd.data.shot_subsets` makes them of the training labels.

    Returns:
        The score of each subset, and under `mean` their mean.

    Raises:
        DataError: labels or probabilities that are none, a class that there is not.

    Example::

        >>> from monai_kd.metrics import shot_scores
        >>> shot_scores([0, 0, 1, 2], [[1.0, 0.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]], {"many": [0], "few": [1, 2]})
        {'many': 1.0, 'few': 0.5, 'mean': 0.75}
    """
    if as_array(label).ndim == 2:
        scores = {name: mean_average_precision(label, probability, list(c)) for name, c in subsets.items()}
    else:
        y, p = checked(label, probability)
        right, scores = p.argmax(1) == y, {}
        for name, classes in subsets.items():
            if wrong := [c for c in classes if not 0 <= c < p.shape[1]]:
                raise DataError(f"class {wrong[0]} is not one of 0..{p.shape[1] - 1}", where=f"subset {name!r}")
            recalls = [right[y == c].mean() for c in classes if (y == c).any()]
            scores[name] = float(np.mean(recalls)) if recalls else float("nan")
    defined = [score for score in scores.values() if not np.isnan(score)]
    return {**scores, "mean": float(np.mean(defined)) if defined else float("nan")}
