# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_kd.metrics.bootstrap import drawn_groups
from monai_kd.metrics.classification import Values, as_array
from monai_kd.metrics.multilabel import checked_findings
from monai_kd.utils.errors import DataError

__all__ = ["finding_auc", "finding_draws", "finding_f1", "mean_average_precision"]


class _Curves:
    """The ROC and precision-recall curves of a finding, sorted once, for cases that count as often as one likes."""

    def __init__(self, label: np.ndarray, probability: np.ndarray) -> None:
        self.order = np.argsort(-probability)  # of the cases, the most probable first
        p, self.label = probability[self.order], label[self.order]
        self.ends = np.concatenate([[0], np.flatnonzero(np.diff(p)) + 1, [len(p)]])  # of cases of one probability
        self.found = int((p >= 0.5).sum())

    def scores(self, times: np.ndarray | None) -> tuple[float, float, float]:
        """AUC, average precision and F1, nan where undefined; `times` says how often each case counts, [N]."""
        drawn = np.ones_like(self.order) if times is None else times[self.order]
        hits, cases = np.zeros((2, len(drawn) + 1), int)  # among none, one, two, ... of the most probable cases
        np.cumsum(drawn * self.label, out=hits[1:])
        np.cumsum(drawn, out=cases[1:])
        have, lack = hits[-1], cases[-1] - hits[-1]
        if not have:
            return np.nan, np.nan, np.nan
        f1 = 2 * hits[self.found] / (cases[self.found] + have)
        hits, cases = hits[self.ends], cases[self.ends]
        step, wrong = np.diff(hits), np.diff(cases - hits)
        area = (wrong * (hits[1:] + hits[:-1])).sum() / (2 * have * lack) if lack else np.nan
        return area, (step * hits[1:] / np.maximum(cases[1:], 1)).sum() / have, f1


def _curves(label: Values, probability: Values, findings: Sequence[int] | None = None) -> list[_Curves]:
    y, p = checked_findings(label, probability)
    columns = range(y.shape[1]) if findings is None else findings
    for c in columns:
        if not 0 <= c < y.shape[1]:
            raise DataError(f"{c} is not one of 0..{y.shape[1] - 1}", where="findings")
    return [_Curves(y[:, c], p[:, c]) for c in columns]


def _means(curves: Sequence[_Curves], times: np.ndarray | None = None) -> list[float]:
    """Mean AUC, average precision and F1 of the findings for which they are defined."""
    scores = np.array([curve.scores(times) for curve in curves]).reshape(-1, 3)
    defined = [column[~np.isnan(column)] for column in scores.T]
    return [float(values.mean()) if len(values) else float("nan") for values in defined]


def finding_auc(label: Values, probability: Values, findings: Sequence[int] | None = None) -> float:
    """Area under the ROC curve of each finding, averaged over the findings that some cases have and some have not.

    .. math:: \\frac{1}{|K|} \\sum_{c \\in K} P(p_c^+ > p_c^-) + \\tfrac{1}{2} P(p_c^+ = p_c^-)

    with :math:`p_c^+` and :math:`p_c^-` the probability of finding c for a case that has it and for one that has not,
    and K the findings of which there are both. If there is none, the answer is nan. It is
    `monai.metrics.compute_roc_auc` without the loop over cases.

    Args:
        label: which case has which finding, 0 or 1, [N, C].
        probability: of each finding by itself, [N, C].
        findings: columns to average over, as the rare ones; all if None.

    Raises:
        DataError: labels or probabilities that are none, a finding that there is not.

    Hanley & McNeil, *Radiology* 143, 1982.

    Example::

        >>> from monai_kd.metrics import finding_auc
        >>> finding_auc([[1, 0], [0, 1], [0, 0]], [[0.9, 0.3], [0.2, 0.3], [0.1, 0.1]])
        0.875
    """
    return _means(_curves(label, probability, findings))[0]


def mean_average_precision(label: Values, probability: Values, findings: Sequence[int] | None = None) -> float:
    """Average precision of each finding, averaged over the findings that some case has (mAP).

    .. math:: \\frac{1}{|K|} \\sum_{c \\in K} \\sum_k (R_{ck} - R_{c,k-1}) \\, P_{ck}, \\quad R_{c0} = 0

    with :math:`R_{ck}` and :math:`P_{ck}` the recall and the precision where all cases are called positive whose
    probability of finding c is at least the k-th highest, each value once however many cases share it, and K the
    findings with a positive case. If there is none, the answer is nan. Chance is not 1/2 but how frequent a finding is.

    Args:
        label: which case has which finding, 0 or 1, [N, C].
        probability: of each finding by itself, [N, C].
        findings: columns to average over, as the rare ones; all if None.

    Raises:
        DataError: labels or probabilities that are none, a finding that there is not.

    Davis & Goadrich, *The relationship between precision-recall and ROC curves*, ICML 2006, on why the points of the
    curve are not joined by straight lines.

    Example::

        >>> from monai_kd.metrics import mean_average_precision
        >>> mean_average_precision([[1], [0], [1], [0]], [[0.9], [0.8], [0.8], [0.1]])
        0.8333333333333333
    """
    return _means(_curves(label, probability, findings))[1]


def finding_f1(label: Values, probability: Values) -> float:
    """F1 of each finding, averaged over the findings that some case has (macro F1); found is what has 1/2 or more.

    .. math:: \\frac{1}{|K|} \\sum_{c \\in K} \\frac{2 TP_c}{2 TP_c + FP_c + FN_c}

    with true and false positives and false negatives of finding c, and K the findings with a positive case; if there is
    none, the answer is nan. A finding that is never found when it is there counts 0.

    Args:
        label: which case has which finding, 0 or 1, [N, C].
        probability: of each finding by itself, [N, C].

    Raises:
        DataError: labels or probabilities that are none.

    Example::

        >>> from monai_kd.metrics import finding_f1
        >>> finding_f1([[1, 0], [1, 1]], [[0.9, 0.2], [0.6, 0.3]])
        0.5
    """
    return _means(_curves(label, probability))[2]


def finding_draws(label: Values, probability: Values, group: Values, n: int = 2000, seed: int = 0) -> np.ndarray:
    """Compute AUC, mean average precision and F1 on `n` resamples of whole groups, in seconds.

    The same draws as :func:`bootstrap_draws` of :func:`finding_auc`, :func:`mean_average_precision` and
    :func:`finding_f1`, but cases are sorted once: in a resample, they only count more or less often.

    Args:
        label: which case has which finding, 0 or 1, [N, C].
        probability: of each finding by itself, [N, C].
        group: the group of each case (patient, slide, block), [N].
        n: how many resamples.
        seed: of the draws.

    Returns:
        [n, 3]; nan if there is one group only.

    Raises:
        DataError: labels or probabilities that are none, or a group for other cases.

    Example::

        >>> from monai_kd.metrics import finding_draws
        >>> finding_draws([[1], [0], [1]], [[0.9], [0.7], [0.6]], group=["a", "a", "b"], n=2).round(3).tolist()
        [[nan, 1.0, 1.0], [0.5, 0.833, 0.8]]
    """
    curves, g = _curves(label, probability), as_array(group)
    cases = len(curves[0].order)
    if g.shape != (cases,):
        raise DataError(f"{list(g.shape)} for {cases} cases", where="group", fix="give each case its group")
    names, member = np.unique(g, return_inverse=True)
    if len(names) < 2:
        return np.full((n, 3), np.nan)
    drawn = drawn_groups(len(names), n, seed)
    return np.array([_means(curves, np.bincount(which, minlength=len(names))[member]) for which in drawn])
