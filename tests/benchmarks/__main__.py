# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Measure the cost of a step against bare loops: `python -m tests.benchmarks [--quick] [--output DIR]`."""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.cases import CASES
from tests.benchmarks.memory import peak_memory
from tests.benchmarks.report import machine, markdown
from tests.benchmarks.targets import TARGETS, judge
from tests.benchmarks.timing import compare, interleave
from tests.benchmarks.variants import SETTINGS, variants


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and write benchmarks.json and benchmarks.md."""
    args = _parse(arguments)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("monai_kd.networks.fast").setLevel(logging.INFO)  # which copy was chosen, how it deviates
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    device, start = torch.device(args.device), time.monotonic()
    report: dict[str, Any] = {"machine": machine(device), "results": []}
    print("# monai_kd benchmarks\n\n" + ", ".join(f"{k}: {v}" for k, v in report["machine"].items()) + "\n")
    for setting in args.settings:
        for case in args.cases:
            rounds = CASES[case].rounds // 7 if args.quick else CASES[case].rounds
            result = measure(case, setting, device, args.rounds or rounds, args.memory)
            report["results"].append(result)
            print(markdown(result), flush=True)
    report["seconds"] = round(time.monotonic() - start, 1)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "benchmarks.json").write_text(json.dumps(report, indent=1))
    tables = "\n".join(markdown(result) for result in report["results"])
    (args.output / "benchmarks.md").write_text(tables)
    print(f"{report['seconds']:.0f} s. {args.output}/benchmarks.json, {args.output}/benchmarks.md")


def measure(case: str, setting: str, device: torch.device, rounds: int, memory: Sequence[str] | None) -> dict[str, Any]:
    """Time every variant of a case in turn and take the memory of some.

    Args:
        case: name of the case.
        setting: name of the setting.
        device: where it runs.
        rounds: how often each variant is timed.
        memory: variants whose peak memory is taken, each in its own process; None for all.
    """
    about, builders = CASES[case], variants(CASES[case], SETTINGS[setting], device)
    threads = torch.get_num_threads()
    if about.overhead and device.type == "cpu":
        torch.set_num_threads(1)  # more only wait for each other, and the frame's cost is Python's
    times = interleave({name: build() for name, build in builders.items()}, rounds, title=case)
    rows = compare(times, "floor")
    for name, row in rows.items():
        wanted = memory is None or name in memory
        row["peak_mebibytes"] = peak_memory(case, setting, name, str(device)) if wanted else None
    result = {
        "case": case,
        "setting": setting,
        "title": about.title,
        "rounds": rounds,
        "steps": about.steps,
        "threads": torch.get_num_threads(),
        "variants": rows,
        "targets": [judge(t, times, device.type) for t in TARGETS[case]] if setting == "float32" else [],
        "milliseconds": times,
    }
    torch.set_num_threads(threads)
    return result


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and little memory: figures are rough")
    parser.add_argument("--output", type=Path, default=Path("bench"), help="folder for the report")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=None)
    parser.add_argument("--rounds", type=int, help="rounds of every case")
    parser.add_argument("--device", default=str(accelerator or "cpu"))
    args = parser.parse_args(arguments)
    if args.settings is None:
        args.settings = list(SETTINGS) if torch.device(args.device).type == "cuda" else ["float32"]
    args.memory = ["student alone", "floor", "monai_kd"] if args.quick else None
    return args


if __name__ == "__main__":
    main()
