# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What teacher and student of a bundle cost: `python -m tests.benchmarks.networks [BUNDLE ...]`, all by default.

The latency of a batch of one on the CPU is the median of rounds in which both are measured in turn, the ratio that of
the medians. Nothing is trained: weights do not matter here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from monai.bundle import ConfigParser

from monai_kd.metrics import count_flops, count_parameters, cpu_latency

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
NETWORKS = {"teacher": ("teacher_def", "privileged_channels"), "student": ("network_def", "in_channels")}
PRIVILEGED = {"histology_patch_classification"}  # whose teacher sees another modality


def costs(bundle: Path, rounds: int = 7, seconds: float = 0.3, threads: int = 1) -> dict[str, dict[str, float]]:
    """Parameters, operations and latency of each network, by its role.

    Args:
        bundle: its folder.
        rounds: in which each is measured once.
        seconds: that one measurement takes.
        threads: of the CPU.
    """
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "train.yaml")
    parser["privileged_key"] = "privileged" if bundle.name in PRIVILEGED else "image"
    size = parser.get_parsed_content("window_size" if "window_size" in parser else "patch_size")
    networks, inputs = {}, {}
    for role, (network, channels) in NETWORKS.items():
        networks[role] = parser.get_parsed_content(network).eval()
        inputs[role] = torch.zeros(1, parser.get_parsed_content(channels), *size)
    found = {
        role: {"parameters": count_parameters(network), "flops": count_flops(network, inputs[role])}
        for role, network in networks.items()
    }
    times: dict[str, list[float]] = {role: [] for role in networks}
    for _ in range(rounds):
        for role, network in networks.items():
            times[role].append(cpu_latency(network, inputs[role], seconds, threads))
    for role, values in times.items():
        found[role]["latency_ms"] = median(values)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser("python -m tests.benchmarks.networks", description=__doc__.partition("\n")[0])
    parser.add_argument("bundles", nargs="*", help="names of folders in bundles/")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    names = options.bundles or sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/train.yaml"))
    print(f"threads: {options.threads}, load: {os.getloadavg()[0]:.1f}, torch: {torch.__version__}\n")
    print("| bundle | network | parameters | MFLOPs | CPU ms | of the teacher's |\n" + "|---" * 6 + "|")
    for name in names:
        found = costs(BUNDLES / name, options.rounds, threads=options.threads)
        for role, cost in found.items():
            share = cost["latency_ms"] / found["teacher"]["latency_ms"]
            cells = [
                f"{cost['parameters']:,}",
                f"{cost['flops'] / 1e6:.1f}",
                f"{cost['latency_ms']:.2f}",
                f"{share:.2f}",
            ]
            print("| " + " | ".join([name, role, *cells]) + " |")


if __name__ == "__main__":
    main()
