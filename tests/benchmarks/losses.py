# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Time every loss, forward and backward, beside its textbook form, and torchdistill's where that is installed:
`python -m tests.benchmarks.losses [NAME ...]`."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.loss_case import SIZES, LossCase
from tests.benchmarks.memory import resident_peak
from tests.benchmarks.public import torchdistill_loss
from tests.benchmarks.report import machine
from tests.benchmarks.timing import compare, interleave

FOLDER = Path(__file__).with_name("textbook")
OURS, TEXTBOOK, AGAIN, PUBLIC = "monai_kd", "textbook", "textbook again (A/A)", "torchdistill"


def load_cases() -> dict[str, LossCase]:
    """The cases of every family, by `family/Class/size`."""
    cases: dict[str, LossCase] = {}
    for path in sorted(FOLDER.glob("*.py")):
        for case in importlib.import_module(f"tests.benchmarks.textbook.{path.stem}").CASES:
            key = f"{path.stem}/{case.name}/{case.size}"
            while key in cases:
                key += "'"  # the same loss with other arguments
            cases[key] = case
    return cases


def step(key: str, which: str) -> Callable[[], Tensor]:
    """Forward and backward of one form of a case, the gradients thrown away.

    Args:
        key: of `load_cases`.
        which: OURS, TEXTBOOK or PUBLIC.
    """
    case = load_cases()[key]
    inputs, extras = case.tensors(), dict(case.extras(SIZES[case.size]))
    loss = {
        OURS: case.ours,
        TEXTBOOK: lambda: case.textbook,
        PUBLIC: lambda: torchdistill_loss(case.name, case.size),
    }[which]()
    assert loss is not None

    def run() -> Tensor:
        value = loss(*inputs, **extras)
        value.backward()
        for tensor in inputs:
            tensor.grad = None
        return value.detach()

    return run


class Timed:
    """A step with its time, for `interleave`."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.step, self.clock, self.milliseconds = run, self, float("nan")

    def run(self) -> None:
        start = time.perf_counter()
        self.step()
        self.milliseconds = 1e3 * (time.perf_counter() - start)


def measure(key: str, rounds: int, seconds: float, memory: bool = True) -> dict[str, Any]:
    """Time and memory of one case.

    Args:
        key: of `load_cases`.
        rounds: how often each form is timed; a form whose first step takes longer than `seconds` is timed 5 times.
        seconds: see `rounds`.
        memory: whether to take the peak memory, beyond the inputs.
    """
    case = load_cases()[key]
    names = [OURS] if case.textbook is None else [OURS, TEXTBOOK, AGAIN]
    variants = {name: Timed(step(key, OURS if name == OURS else TEXTBOOK)) for name in names}
    if torchdistill_loss(case.name, case.size) is not None and case.textbook is not None:
        variants[PUBLIC] = Timed(step(key, PUBLIC))
    values = []
    for name in names[:2]:
        start = time.perf_counter()
        values.append(variants[name].step())
        slow = time.perf_counter() - start > seconds
        rounds = min(rounds, 5) if slow else rounds
        if slow:
            variants.pop(AGAIN, None)  # the ratio is far from 1, and minutes are short
    if len(values) == 2:
        torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=1e-6)
    times = interleave(variants, rounds, title=key)
    rows = compare(times, TEXTBOOK if TEXTBOOK in times else OURS)
    for name in names[:2]:
        rows[name]["peak_mebibytes"] = resident_peak(step, key, name, over_built=True) if memory else None
    gradient = sum(t.numel() * t.element_size() for t in case.tensors() if t.requires_grad) / 2**20
    return {
        "case": key,
        "rounds": rounds,
        "gradient_mebibytes": gradient,
        "variants": rows,
        "time_target": case.time,
        "memory_target": None if case.memory is None else gradient + case.memory,
    }


HEADER = """| loss | size | ms | over textbook | A/A | target | torchdistill too | MiB | textbook MiB | target |
|---|---|---|---|---|---|---|---|---|---|"""


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    _, name, size = result["case"].split("/")
    ours, textbook, again, public = (result["variants"].get(which, {}) for which in (OURS, TEXTBOOK, AGAIN, PUBLIC))
    cells = [
        name,
        size,
        f"{ours['milliseconds'][1]:.2f}",
        "{1:.3f} [{0:.3f}, {2:.3f}]".format(*ours["ratio"]) if textbook else "-",
        f"{again['ratio'][1]:.2f}" if again else "-",
        _judged(ours["ratio"][1], result["time_target"], ""),
        f"{public['ratio'][1]:.2f}" if public else "-",
        _plain(ours.get("peak_mebibytes")),
        _plain(textbook.get("peak_mebibytes")),
        _judged(ours.get("peak_mebibytes"), result["memory_target"], " MiB"),
    ]
    return "| " + " | ".join(cells) + " |"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _judged(value: float | None, limit: float | None, unit: str) -> str:
    if value is None or limit is None:
        return "-"
    return f"<= {limit:.3g}{unit} {'pass' if value <= limit else 'FAIL'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and write losses.json and losses.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.losses", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of case names (family/Class/size); all by default")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="a step that takes longer is timed 5 times")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("bench"), help="folder for the report")
    args = parser.parse_args(arguments)
    keys = [key for key in load_cases() if not args.names or any(name in key for name in args.names)]
    report: dict[str, Any] = {"machine": machine(torch.device("cpu")), "results": []}
    lines = [HEADER]
    print("# Losses: forward and backward\n\n" + ", ".join(f"{k}: {v}" for k, v in report["machine"].items()) + "\n")
    print(HEADER, flush=True)
    for key in keys:
        report["results"].append(measure(key, args.rounds, args.seconds, not args.no_memory))
        lines.append(row(report["results"][-1]))
        print(lines[-1], flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "losses.json").write_text(json.dumps(report, indent=1))
    (args.output / "losses.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
