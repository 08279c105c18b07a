# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from monai_kd.report.results import Comparison
from monai_kd.report.text import decimal, interval, p_value, signed

__all__ = ["Verdict", "headline", "judge"]

HELPS, NO_HELP, UNCLEAR = "helps", "does not help", "unclear"
VERBS = {HELPS: "helps", NO_HELP: "does not help", UNCLEAR: "may or may not help"}


class Verdict(NamedTuple):
    """What a comparison says: in a word, and in sentences."""

    kind: str  #: "helps", "does not help" or "unclear"
    sentence: str


def judge(comparison: Comparison) -> Verdict:
    """Decide whether distillation helps, by the paired differences of the primary score.

    With two seeds or more, it *helps* if the bootstrap interval of the mean difference lies above zero and every seed
    gains; it *does not help* if the mean difference is zero or less, or the whole interval lies below the
    task's margin. Anything else is *unclear*: the burden of proof is on distillation.

    Args:
        comparison: of the student alone with the distilled student.
    """
    task = comparison.task
    measure = task.scores[task.primary]
    name = measure.name
    if not comparison.seeds:
        return Verdict(UNCLEAR, "No seed was run both alone and distilled, so nothing can be compared.")
    gain, span = comparison.scores[task.primary], comparison.intervals[task.primary]
    if math.isnan(gain.mean):
        return Verdict(UNCLEAR, f"The difference in {name} is undefined.")
    count = len(gain.seeds)
    better = sum(value > 0 for value in gain.seeds)
    seeds = "one seed" if count == 1 else f"{count} seeds"
    plainly, sign = (partial(write, digits=measure.digits) for write in (decimal, signed))
    told = "no interval" if math.isnan(span.low) else f"95 % interval {interval(span.low, span.high, sign)}"
    if task.primary in comparison.p_values:
        cases = len(comparison.by_case[task.primary])
        told += f"; Wilcoxon over {cases} cases {p_value(comparison.p_values[task.primary])}"
    facts = (
        f"Mean {name} is {plainly(_mean(comparison, 'alone'))} alone and {plainly(_mean(comparison, 'distilled'))} "
        f"distilled: {sign(gain.mean)} over {seeds} ({told}), better in {better} of {count}."
    )
    if count == 1:
        return Verdict(UNCLEAR, f"{facts} One seed cannot tell a method from a lucky start: run at least three.")
    if span.low > 0 and better == count:
        return Verdict(HELPS, facts)
    if span.high < 0:
        return Verdict(NO_HELP, f"{facts} The student is worse for it: train it alone.")
    if gain.mean <= 0:
        return Verdict(NO_HELP, f"{facts} There was no gain: train the student alone.")
    if span.high < task.margin:
        return Verdict(NO_HELP, f"{facts} Any gain is smaller than {task.margin:g}: train the student alone.")
    if math.isnan(span.low):
        reason = "All test cases are of one group, so there is no interval: test on more patients, slides or blocks."
    elif span.low <= 0:
        reason = "The interval includes zero, so chance may explain the gain: test on more cases."
    else:
        reason = "The seeds disagree: run more of them."
    return Verdict(UNCLEAR, f"{facts} {reason}")


def _mean(comparison: Comparison, role: str) -> float:
    """The primary score of one student, averaged over the seeds compared."""
    row = getattr(comparison, role)
    scores = row.scores[comparison.task.primary].seeds
    values = [score for run, score in zip(row.runs, scores, strict=True) if run.seed in comparison.seeds]
    return sum(values) / len(values)


def headline(comparisons: Sequence[Comparison]) -> str:
    """Say in one sentence what all comparisons amount to.

    Args:
        comparisons: each distilled student with the student alone.
    """
    if not comparisons:
        return "There is nothing to compare: a student alone and a distilled student of one setting are needed."
    kinds = [judge(comparison).kind for comparison in comparisons]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    if len(kinds) > 4:
        places = {kind: f"in {count} of {len(kinds)} comparisons" for kind, count in counts.items()}
    else:
        several = len({c.distilled.recipe for c in comparisons}) > 1
        found = list(zip(kinds, comparisons, strict=True))
        places = {kind: _places([c for other, c in found if other == kind], several) for kind in counts}
    return "Distillation " + ", and ".join(f"{VERBS[kind]} {places[kind]}".strip() for kind in counts) + "."


def _places(comparisons: Sequence[Comparison], several: bool) -> str:
    """With which settings, and by which recipes if there are several: "with 5 % (kd, fitnets) and with 10 % (kd)"."""
    parts = []
    for setting in dict.fromkeys(c.distilled.setting for c in comparisons):
        recipes = ", ".join(c.distilled.recipe or "no recipe" for c in comparisons if c.distilled.setting == setting)
        parts.append(" ".join([f"with {setting}"] * bool(setting) + [f"({recipes})"] * several))
    return " and ".join(parts)
