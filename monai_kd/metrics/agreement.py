# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_kd.metrics.classification import Values, as_array
from monai_kd.utils.errors import ClassMismatchError, DataError

__all__ = ["agreement", "cohen_kappa"]


def _decisions(input: Values, target: Values) -> tuple[np.ndarray, np.ndarray, int]:
    """The most probable classes of student and teacher, [N] each, and the number of classes."""
    student, teacher = as_array(input), as_array(target)
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher) or not len(student):
        raise DataError(
            f"expected probabilities [N, C] of the same cases, got {list(student.shape)} and {list(teacher.shape)}",
            where="student and teacher",
        )
    if student.shape[1] != teacher.shape[1]:
        raise ClassMismatchError(
            f"the student has {student.shape[1]} classes, the teacher {teacher.shape[1]}", where="agreement"
        )
    if np.isnan(student).any() or np.isnan(teacher).any():
        raise DataError("nan among the probabilities: no class is the most probable", where="student and teacher")
    return student.argmax(1), teacher.argmax(1), student.shape[1]


def agreement(input: Values, target: Values) -> float:
    """Fraction of cases on which student and teacher name the same class, right or wrong.

    .. math:: \\frac{1}{N} \\sum_i [\\arg\\max_c p^S_{ic} = \\arg\\max_c p^T_{ic}]

    Args:
        input: the student's class probabilities, [N, C].
        target: the teacher's, [N, C].

    Example::

        >>> from monai_kd.metrics import agreement
        >>> agreement([[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.3]])
        0.5
    """
    student, teacher, _ = _decisions(input, target)
    return float((student == teacher).mean())


def cohen_kappa(input: Values, target: Values) -> float:
    """Agreement of student and teacher beyond what their class frequencies alone would give.

    .. math:: \\kappa = \\frac{a - e}{1 - e}, \\quad e = \\sum_c f^S_c f^T_c

    with a the :func:`agreement` and f the frequency with which each names class c: 1 is full agreement, 0 is chance.
    If both name one and the same class throughout, :math:`e = 1` and the answer is nan.

    Args:
        input: the student's class probabilities, [N, C].
        target: the teacher's, [N, C].

    Cohen, *Educational and Psychological Measurement* 20, 1960.

    Example::

        >>> from monai_kd.metrics import cohen_kappa
        >>> cohen_kappa([[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.3]])
        0.0
    """
    student, teacher, classes = _decisions(input, target)
    frequency = [np.bincount(who, minlength=classes) / len(who) for who in (student, teacher)]
    chance = float(frequency[0] @ frequency[1])
    if chance == 1:
        return float("nan")
    return (float((student == teacher).mean()) - chance) / (1 - chance)
