# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch
from tqdm import tqdm


class Clock:
    """A data loader that times the loop which reads it.

    It hands out ready-made batches, one more than the steps to be timed, and the clock runs from the first to the last
    of them: whole steps, whatever the loop does between two batches, without what it does once before and after. So a
    bare loop and an engine are read alike.

    Args:
        batches: used again and again.
        steps: timed steps of one run.
        device: whose queue is waited for.
    """

    def __init__(self, batches: Sequence[Any], steps: int, device: torch.device) -> None:
        self.batches, self.steps, self.device = batches, steps, device
        self.milliseconds = float("nan")

    def __len__(self) -> int:
        return self.steps + 1

    def __iter__(self) -> Iterator[Any]:
        start = 0.0
        for i, batch in enumerate(islice(cycle(self.batches), len(self))):
            if i in (0, self.steps):
                synchronise(self.device)
                start, before = time.perf_counter(), start
                self.milliseconds = 1e3 * (start - before) / self.steps  # of the last pull, in the end
            yield batch


def synchronise(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@dataclass
class Variant:
    """One way to take a step: `run` reads `clock` to its end."""

    run: Callable[[], Any]
    clock: Clock


def interleave(variants: Mapping[str, Variant], rounds: int, title: str = "") -> dict[str, list[float]]:
    """Milliseconds a step of every variant in every round; each round runs all of them, in a new random order.

    Args:
        variants: by name.
        rounds: how often; one more goes before, to warm up.
        title: what the progress bar says.
    """
    order, shuffle = list(variants), random.Random(0).shuffle
    times: dict[str, list[float]] = {name: [] for name in order}
    gc.collect()
    gc.freeze()  # else each collection walks the networks of all variants
    for turn in tqdm(range(rounds + 1), desc=title, leave=False, disable=None):
        shuffle(order)
        for name in order:
            variants[name].run()
            if turn:
                times[name].append(variants[name].clock.milliseconds)
    gc.unfreeze()
    return times


def spread(values: Sequence[float]) -> list[float]:
    """The quartiles: lower, median, upper."""
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3


def compare(times: Mapping[str, Sequence[float]], reference: str) -> dict[str, dict[str, Any]]:
    """Quartiles of each variant's time, of its ratio to the reference and of its excess over it, round by round.

    Args:
        times: milliseconds by variant and round.
        reference: the variant that is 1.00.
    """
    base = times[reference]
    return {
        name: {
            "milliseconds": spread(values),
            "ratio": spread([v / b for v, b in zip(values, base, strict=True)]),
            "excess_milliseconds": spread([v - b for v, b in zip(values, base, strict=True)]),
        }
        for name, values in times.items()
    }
