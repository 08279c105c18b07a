# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
M_MMAP_THRESHOLD = -3  # of glibc's mallopt


def peak_memory(case: str, setting: str, variant: str, device: str) -> float | None:
    """MiB that one variant holds at its highest, networks, copies, gradients and data included.

    On a CPU it runs in a process of its own: built, run, then the kernel's high-water mark of the resident set is
    reset and it runs again; what the process held before building is taken off. Every large block is given back when
    it is freed, so that the figure is what lives at one time and not what the allocator keeps. On a GPU its allocator
    is asked.

    Args:
        case: name of the case.
        setting: name of the setting.
        variant: name of the variant.
        device: where it runs.

    Returns:
        None where neither Linux nor the device tells.
    """
    if torch.device(device).type == "cpu":
        return resident_peak(_runner, case, setting, variant)
    return _of_allocator(case, setting, variant, torch.device(device))


def resident_peak(build: Callable[..., Callable[[], Any]], *args: Any, over_built: bool = False) -> float | None:
    """MiB that a function holds at its highest on a CPU, by the kernel's high-water mark of the resident set.

    Args:
        build: a function of a module; `build(*args)` gives the function, which runs twice in a process of its own.
        args: of `build`, plain values.
        over_built: take off what is held once it is built and has run, inputs say, and not what was held before.

    Returns:
        None where it is not Linux.
    """
    if not CLEAR.exists():
        return None
    context = multiprocessing.get_context("forkserver")  # forks a process that has imported, but computed nothing:
    context.set_forkserver_preload(["tests.benchmarks.variants"])  # threads do not survive a fork
    with context.Pool(1) as pool:
        return pool.apply(_in_process, (build, args, torch.get_num_threads(), over_built))


def _in_process(build: Callable[..., Callable[[], Any]], args: tuple, threads: int, over_built: bool) -> float:
    torch.set_num_threads(threads)
    nn.Conv2d(1, 1, 3)(torch.ones(1, 1, 8, 8)).sum().backward()  # what torch sets up at first is not counted
    libc, before = ctypes.CDLL(None), _resident("VmRSS")
    libc.mallopt(M_MMAP_THRESHOLD, 2**16)
    run = build(*args)
    run()  # a fast teacher is chosen here
    gc.collect()
    libc.malloc_trim(0)
    before = _resident("VmRSS") if over_built else before
    CLEAR.write_text("5")
    run()
    return _resident("VmHWM") - before


def _runner(case: str, setting: str, variant: str) -> Callable[[], Any]:
    return _build(case, setting, variant, torch.device("cpu")).run


def _of_allocator(case: str, setting: str, variant: str, device: torch.device) -> float | None:
    if not hasattr(torch.accelerator, "max_memory_allocated"):
        return None
    gc.collect()
    before = torch.accelerator.memory_allocated(device)
    built = _build(case, setting, variant, device)
    built.run()
    torch.accelerator.reset_peak_memory_stats(device)
    built.run()
    return (torch.accelerator.max_memory_allocated(device) - before) / 2**20


def _build(case: str, setting: str, variant: str, device: torch.device) -> Any:
    from tests.benchmarks.cases import CASES
    from tests.benchmarks.variants import SETTINGS, variants

    return variants(replace(CASES[case], steps=1), SETTINGS[setting], device)[variant]()


def _resident(field: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
