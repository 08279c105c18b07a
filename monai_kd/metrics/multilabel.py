# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import torch
from monai.metrics.calibration import calibration_binning

from monai_kd.metrics.classification import Values, as_array
from monai_kd.utils.errors import ClassMismatchError, DataError

__all__ = ["checked_findings", "finding_agreement", "finding_calibration_error"]


def checked_findings(label: Values, probability: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of findings as arrays of integers and floats, or say what is wrong with them.

    A case may have any number of the C findings, none included, so the probabilities of a case need not sum to one.

    Args:
        label: which case has which finding, 0 or 1 in any numeric type, [N, C].
        probability: of each finding by itself (a sigmoid, not logits), [N, C].

    Raises:
        DataError: shapes that do not fit, no case or finding, a label other than 0 and 1, a probability outside 0..1.

    Example::

        >>> from monai_kd.metrics.multilabel import checked_findings
        >>> checked_findings([[1, 0], [1, 1]], [[0.9, 0.2], [3.5, 0.5]])
        Traceback (most recent call last):
        ...
        monai_kd.utils.errors.DataError: probability: 3.5 of case 1, finding 0 is not in 0..1. apply sigmoid...
    """
    y, p = as_array(label), as_array(probability).astype(np.float64)
    if y.ndim != 2 or y.shape != p.shape:
        raise DataError(
            f"expected shapes [N, C] and [N, C], got {list(y.shape)} and {list(p.shape)}",
            where="label and probability",
            fix="give each case a 0 or 1 and a probability for each finding",
        )
    if not y.size:
        raise DataError(f"there is no case or no finding to score: shape {list(y.shape)}", where="label")
    if y.dtype.kind not in "biuf":
        raise DataError(f"must hold numbers, got {y.dtype}", where="label", fix="use 0 and 1")
    there = y == 1
    bad = ~(there | (y == 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        fix = "use 1 where the case has the finding, else 0"
        raise DataError(f"{y[row, column]:g} of case {row}, finding {column} is not 0 or 1", where="label", fix=fix)
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        what = f"{p[row, column]:g} of case {row}, finding {column} is not in 0..1"
        raise DataError(what, where="probability", fix="apply sigmoid to logits first")
    return there.astype(np.int64), p


def finding_calibration_error(label: Values, probability: Values, bins: int = 15) -> float:
    """Mean distance between the probability of a finding and how often it is there, averaged over findings (ECE).

    .. math:: \\frac{1}{C N} \\sum_c \\sum_b \\Big| \\sum_{i \\in B_{cb}} (y_{ic} - p_{ic}) \\Big|,
        \\quad B_{cb} = \\{i: \\tfrac{b}{B} \\le p_{ic} < \\tfrac{b+1}{B}\\}

    with 1 in the last bin. Unlike :func:`expected_calibration_error` it asks about the finding, not about the answer.
    The binning is `monai.metrics.calibration_binning` (in float32). Of a rare finding it is small as soon as the
    probabilities are; compare like with like.

    Args:
        label: which case has which finding, 0 or 1, [N, C].
        probability: of each finding by itself, [N, C].
        bins: how many bins of equal width, B.

    Raises:
        DataError: labels or probabilities that are none.

    Naeini et al., *Obtaining well calibrated probabilities using Bayesian binning*, AAAI 2015.

    Example::

        >>> from monai_kd.metrics import finding_calibration_error
        >>> finding_calibration_error([[1, 0], [1, 0]], [[0.75, 0.0], [0.75, 0.0]])
        0.125
    """
    y, p = checked_findings(label, probability)
    probable, true = (torch.from_numpy(np.ascontiguousarray(values.T))[None] for values in (p, y))
    mean, there, count = calibration_binning(probable, true, num_bins=bins)
    return float((count * (mean - there).abs()).nansum(-1).mean() / len(y))


def finding_agreement(input: Values, target: Values) -> float:
    """Fraction of the pairs of case and finding in which student and teacher say the same, right or wrong.

    .. math:: \\frac{1}{N C} \\sum_{i,c} [[p^S_{ic} \\ge \\tfrac{1}{2}] = [p^T_{ic} \\ge \\tfrac{1}{2}]]

    Args:
        input: the student's probabilities of each finding, [N, C].
        target: the teacher's, [N, C].

    Raises:
        DataError: they are not of the same cases, or not probabilities.
        ClassMismatchError: they are not of as many findings.

    Example::

        >>> from monai_kd.metrics import finding_agreement
        >>> finding_agreement([[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.9]])
        0.75
    """
    student, teacher = as_array(input), as_array(target)
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher) or not student.size:
        what = f"expected probabilities [N, C] of the same cases, got {list(student.shape)} and {list(teacher.shape)}"
        raise DataError(what, where="student and teacher")
    if student.shape != teacher.shape:
        what = f"the student has {student.shape[1]} findings, the teacher {teacher.shape[1]}"
        raise ClassMismatchError(what, where="finding_agreement")
    for who, p in (("student", student), ("teacher", teacher)):
        if not ((p >= 0) & (p <= 1)).all():
            raise DataError("not all probabilities are in 0..1", where=who, fix="apply sigmoid to logits first")
    return float(((student >= 0.5) == (teacher >= 0.5)).mean())
