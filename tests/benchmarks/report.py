# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import monai
import torch

__all__ = ["machine", "markdown"]


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "python": platform.python_version(),
    }


def markdown(result: dict[str, Any]) -> str:
    """The tables of one case in one setting.

    Args:
        result: title, setting, rounds, steps, threads, variants (quartiles, peak memory) and targets.
    """
    lines = [
        f"## {result['title']}; {result['setting']}",
        "",
        f"{result['rounds']} rounds of {result['steps']} steps, {result['threads']} threads. Medians [quartiles].",
        "",
        "| variant | ms a step | over floor | minus floor, ms | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["variants"].items():
        peak = row["peak_mebibytes"]
        lines.append(
            f"| {name} | {row['milliseconds'][1]:.2f} | {_quartiles(row['ratio'], '.3f')} "
            f"| {_quartiles(row['excess_milliseconds'], '+.3f')} | {'-' if peak is None else f'{peak:.0f}'} |"
        )
    if result["targets"]:
        lines += ["", "| target | limit | measured | |", "|---|---|---|---|"]
    for t in result["targets"]:
        low, high = t["quartiles"]
        measured = _quartiles([low, t["figure"], high], ".3f")
        lines.append(f"| {t['target']} | {t['limit']:g} {t['unit']} | {measured} | {t['verdict']} |")
    again = result["variants"].get("floor again (A/A)")
    if again:
        lines += ["", f"A/A control: {_quartiles(again['ratio'], '.3f')}; smaller differences are not resolved."]
    return "\n".join(lines) + "\n"


def _quartiles(values: list[float], spec: str) -> str:
    low, median, high = (format(v, spec) for v in values)
    return f"{median} [{low}, {high}]"
