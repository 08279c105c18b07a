# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What would be a process of its own, in this one: to start one takes seconds."""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TextIO

from monai_kd.__main__ import main


def run(program: Sequence[str], env: Mapping[str, str], stdout: TextIO, stderr: int) -> subprocess.CompletedProcess:
    """As `subprocess.run`, of `python -m monai_kd ...`."""
    with redirect_stdout(stdout), redirect_stderr(stdout):
        try:
            code = main(list(program[3:]))
        except Exception:  # ends a process, which says why
            traceback.print_exc()
            code = 1
    return subprocess.CompletedProcess(program, code)
