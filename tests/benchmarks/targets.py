# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.timing import spread

__all__ = ["TARGETS", "Target", "has_bfloat16", "judge"]

Times = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Target:
    """What a case should reach: the median over the rounds of `figure`, at most `limit`.

    Args:
        title: what is asked.
        figure: one number per round, from the milliseconds of every variant.
        limit: the largest that passes.
        unit: of the figure.
        bfloat16: holds on a CPU with bfloat16 units.
        cpu: holds on a CPU.
    """

    title: str
    figure: Callable[[Times], list[float]]
    limit: float
    unit: str = "x"
    bfloat16: bool = False
    cpu: bool = False


def excess(variant: str, base: str) -> Callable[[Times], list[float]]:
    """Milliseconds of one variant beyond another."""
    return lambda times: [a - b for a, b in zip(times[variant], times[base], strict=True)]


def ratio(variant: str, base: str = "floor") -> Callable[[Times], list[float]]:
    """Time of one variant over another's."""
    return lambda times: [a / b for a, b in zip(times[variant], times[base], strict=True)]


def per_tap(taps: int) -> Callable[[Times], list[float]]:
    """What one tapped term costs more than in a bare loop, beyond what the frame costs anyway."""
    with_taps, without = excess(_tapped(taps), _hooked(taps)), excess("monai_kd", "bare, our losses")
    return lambda times: [(a - b) / taps for a, b in zip(with_taps(times), without(times), strict=True)]


def _tapped(taps: int) -> str:
    return f"monai_kd, {taps} tap{'s' if taps > 1 else ''}"


def _hooked(taps: int) -> str:
    return f"bare, our losses, {taps} hook{'s' if taps > 1 else ''}"


def _real(fast: float, fast_both: float, channels_last: float, early_exit: float) -> list[Target]:
    both = "monai_kd, fast teacher, student bfloat16 channels_last"
    return [
        Target("monai_kd / floor", ratio("monai_kd"), 1.05),
        Target("monai_kd / bare loop, same losses", ratio("monai_kd", "bare, our losses"), 1.05),
        Target("monai_kd, 1 tap / bare loop, same losses, 1 hook", ratio(_tapped(1), _hooked(1)), 1.05),
        Target("monai_kd, 4 taps / bare loop, same losses, 4 hooks", ratio(_tapped(4), _hooked(4)), 1.05),
        Target("fast teacher / floor", ratio("monai_kd, fast teacher"), fast, bfloat16=True, cpu=True),
        Target("fast teacher, student bfloat16 / floor", ratio(both), fast_both, bfloat16=True, cpu=True),
        Target("channels_last of both / floor", ratio("monai_kd, channels_last of both"), channels_last, cpu=True),
        Target("early exit / floor", ratio("monai_kd, early exit"), early_exit),
    ]


TARGETS = {
    "tiny": [
        Target("monai_kd beyond the bare loop, same losses", excess("monai_kd", "bare, our losses"), 0.15, "ms a step"),
        Target("monai_kd beyond the floor", excess("monai_kd", "floor"), 0.15, "ms a step"),
        Target("1 tap beyond the bare loop, same losses, 1 hook", per_tap(1), 0.05, "ms a term"),
        Target("4 taps beyond the bare loop, same losses, 4 hooks", per_tap(4), 0.05, "ms a term"),
    ],
    "2d": _real(fast=0.85, fast_both=0.55, channels_last=0.90, early_exit=0.85),
    "3d": _real(fast=0.55, fast_both=0.45, channels_last=0.85, early_exit=0.70),
}


def judge(target: Target, times: Times, device: str) -> dict:
    """The figure with its quartiles, and whether it passes; a target that does not hold here is not judged.

    Args:
        target: what is asked.
        times: milliseconds by variant and round.
        device: where it was measured.

    Returns:
        An entry of the report.
    """
    low, median, high = spread(target.figure(times))
    verdict = "pass" if median <= target.limit else "FAIL"
    if target.cpu and device != "cpu":
        verdict = "not judged: a target for CPUs"
    elif target.bfloat16 and not has_bfloat16():
        verdict = "not judged: no bfloat16 units"
    return {
        "target": target.title,
        "limit": target.limit,
        "unit": target.unit,
        "figure": median,
        "quartiles": [low, high],
        "verdict": verdict,
    }


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 by itself, as far as Linux says."""
    info = Path("/proc/cpuinfo")
    return info.exists() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.read_text().split()))
