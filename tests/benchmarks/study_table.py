# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The runs of a study as a table, each method beside the student alone with the same labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

__all__ = ["compared", "table"]

DIGITS = {"hd95": 2}  # millimetres; everything else is a part of one


def _by_case(run: dict[str, Any]) -> np.ndarray:
    """A score for each test case: whether it is right, the share of its findings that are, or its mean Dice."""
    ((_, values),) = run["cases"].items()
    return np.array([float(x) for x in values])


def compared(runs: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Mean difference by case from the baseline, and the p-value of Wilcoxon's signed-rank test of it.

    Seeds are averaged first, those which both have, so that a case counts once: the test says how sure the difference
    is over *cases*, for these seeds. It takes cases for independent of each other, also those of one lesion or slide.

    Args:
        runs: of one method, by seed.
        baseline: of the student alone.
    """
    seeds = {run["seed"] for run in runs} & {run["seed"] for run in baseline}
    if not seeds:
        return float("nan"), float("nan")
    means = [np.mean([_by_case(run) for run in side if run["seed"] in seeds], axis=0) for side in (runs, baseline)]
    apart = means[0] - means[1]
    return float(apart.mean()), float(wilcoxon(apart).pvalue) if apart.any() else 1.0


def table(runs: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown: mean and sample standard deviation over seeds, comparison by case, medians of times.

    Args:
        runs: what `study.py` keeps of each.
    """
    names = list(dict.fromkeys(name for run in runs for name in run["scores"]))  # some methods have more than others
    costs = ["parameters", "MFLOPs", "CPU ms", "training (s)"]
    head = ["network", "labels", "seeds", *names, "difference by case", "p", *costs]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    order = {"teacher": 0, "alone": 1}
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((-run["labeled_fraction"], order.get(run["method"], 2), run["method"]), []).append(run)
    for (part, place, method), mine in sorted(groups.items()):
        cells = [method, f"{-100 * part:g} %", str(len(mine))]
        for name in names:
            values = [run["scores"][name] for run in mine if name in run["scores"]]
            if len(values) < len(mine):
                cells.append("")
                continue
            digits = DIGITS.get(name.split("_")[0], 3)
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        difference, p = compared(mine, groups.get((part, 1, "alone"), [])) if place == 2 else (np.nan, np.nan)
        cells += ["" if np.isnan(difference) else f"{difference:+.4f}", "" if np.isnan(p) else f"{p:.2g}"]
        cells += [f"{mine[0]['parameters']:,}", f"{mine[0]['flops'] / 1e6:.1f}"]
        cells += [f"{np.median([run['latency_ms'] for run in mine]):.1f}"]
        times = [run["train_seconds"] for run in mine if run.get("train_seconds") is not None]
        cells += [f"{np.median(times):.0f}" if times else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
