# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Processes that can be killed, and folders that are full: a fork starts in no time, as it has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORK = multiprocessing.get_context("fork")


def start(function: Callable, *args: Any, log: Path | None = None) -> BaseProcess:
    """Call a function in a process of its own; what it prints, and how it breaks, goes to `log`."""
    process = FORK.Process(target=_call, args=(function, args, log))
    process.start()
    return process


def finish(function: Callable, *args: Any, log: Path) -> tuple[int | None, str]:
    """Call a function in a process of its own; return its exit status and what it printed."""
    process = start(function, *args, log=log)
    process.join(60)
    return process.exitcode, log.read_text(encoding="utf-8")


def _call(function: Callable, args: tuple, log: Path | None) -> None:
    if log is not None:
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for target in (1, 2):
            os.dup2(stream, target)
        sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", closefd=False)
    code = 1
    try:
        function(*args)
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[bool]:
    """Let `folder` be a disk of its own; False where that needs rights that the tests do not have."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
