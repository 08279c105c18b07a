# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
from monai.utils import convert_to_numpy
from numpy.typing import ArrayLike
from torch import Tensor

from monai_kd.utils.errors import DataError

__all__ = ["accuracy", "as_array", "balanced_accuracy", "checked", "confusion_matrix", "macro_auc"]

Values = ArrayLike | Tensor


def as_array(value: Values) -> np.ndarray:
    """Return lists, arrays and tensors (on any device, with or without gradient) as a numpy array."""
    return np.asarray(convert_to_numpy(value))


def checked(label: Values, probability: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities as numpy arrays, or say what is wrong with them.

    Args:
        label: true classes, [N], integers in 0..C-1.
        probability: each case's class probabilities (a softmax, not logits), [N, C].

    Raises:
        DataError: shapes that do not fit, no case, a label outside 0..C-1, rows that are not probabilities.

    Example::

        >>> from monai_kd.metrics.classification import checked
        >>> checked([0, 1], [[2.0, -1.0], [0.5, 0.5]])
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.DataError: probability: row 0 is not a distribution: [2.0, -1.0]. apply softmax...
    """
    y, p = as_array(label), as_array(probability).astype(np.float64)
    if y.ndim != 1 or p.ndim != 2 or len(y) != len(p):
        raise DataError(
            f"expected shapes [N] and [N, C], got {list(y.shape)} and {list(p.shape)}", where="label and probability"
        )
    if not len(y):
        raise DataError("there is no case to score", where="label")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"classes must be integers, got {y.dtype}", where="label")
    bad = (y < 0) | (y >= p.shape[1])
    if bad.any():
        raise DataError(
            f"class {y[bad.argmax()]} of case {bad.argmax()} is not one of 0..{p.shape[1] - 1}", where="label"
        )
    bad = ~np.isfinite(p).all(1)
    if bad.any():
        what = f"row {bad.argmax()} is nan or infinite"
        fix = "the network's weights are: did its training diverge? a lower learning_rate may help"
        raise DataError(what, where="probability", fix=fix)
    bad = ~((p >= 0).all(1) & (np.abs(p.sum(1) - 1) < 1e-2))
    if bad.any():
        row = p[bad.argmax()].round(3).tolist()
        raise DataError(
            f"row {bad.argmax()} is not a distribution: {row}", where="probability", fix="apply softmax to logits first"
        )
    return y, p


def accuracy(label: Values, probability: Values) -> float:
    """Fraction of cases whose most probable class is the true one.

    .. math:: \\frac{1}{N} \\sum_i [\\arg\\max_c p_{ic} = y_i]

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].

    Example::

        >>> from monai_kd.metrics import accuracy
        >>> accuracy([0, 1], [[0.9, 0.1], [0.8, 0.2]])
        0.5
    """
    y, p = checked(label, probability)
    return float((p.argmax(1) == y).mean())


def balanced_accuracy(label: Values, probability: Values) -> float:
    """Accuracy in which every class weighs the same: the mean of the classes' recalls.

    .. math:: \\frac{1}{|K|} \\sum_{c \\in K} \\frac{1}{n_c} \\sum_{i: y_i = c} [\\arg\\max_k p_{ik} = c]

    where :math:`K` are the classes that occur in `label` and :math:`n_c` counts their cases.

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].

    Example::

        >>> from monai_kd.metrics import balanced_accuracy
        >>> balanced_accuracy([0, 0, 0, 1], [[0.9, 0.1]] * 4)
        0.5
    """
    y, p = checked(label, probability)
    count = np.bincount(y)
    hit = np.bincount(y[p.argmax(1) == y], minlength=len(count))
    return float((hit[count > 0] / count[count > 0]).mean())


def macro_auc(label: Values, probability: Values) -> float:
    """Area under the ROC curve of each class against the rest, averaged over the classes that occur in `label`.

    .. math:: \\frac{1}{|K|} \\sum_{c \\in K} P(p_c^+ > p_c^-) + \\tfrac{1}{2} P(p_c^+ = p_c^-)

    with :math:`p_c^+` and :math:`p_c^-` the probability of class c for a case of class c and for any other case. It is
    `monai.metrics.compute_roc_auc` without the loop over cases, fast enough to be resampled thousands of times.
    One class only: there is nothing to tell apart, the answer is nan.

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].

    Hanley & McNeil, *Radiology* 143, 1982.

    Example::

        >>> from monai_kd.metrics import macro_auc
        >>> macro_auc([0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.9, 0.1]])
        0.75
    """
    y, p = checked(label, probability)
    present = np.unique(y)
    if len(present) < 2:
        return float("nan")
    areas = []
    for c in present:
        positive, negative = p[y == c, c], np.sort(p[y != c, c])
        below, up_to = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
        areas.append((below + up_to).mean() / 2 / len(negative))
    return float(np.mean(areas))


def confusion_matrix(label: Values, probability: Values) -> np.ndarray:
    """Count the cases of each true class (row) by their most probable class (column).

    .. math:: M_{ck} = |\\{i: y_i = c, \\arg\\max_j p_{ij} = k\\}|

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].

    Example::

        >>> from monai_kd.metrics import confusion_matrix
        >>> confusion_matrix([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]).tolist()
        [[1, 0], [1, 1]]
    """
    y, p = checked(label, probability)
    classes = p.shape[1]
    return np.bincount(y * classes + p.argmax(1), minlength=classes**2).reshape(classes, classes)
