# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bundle_process` is `python -m monai.bundle` that leaves as `tests.ranks` does, for torchrun.

gloo's threads may let go of tensors late, and abort where the interpreter has ended before them: it does not end.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import NoReturn


def leave() -> NoReturn:
    """End this process with 0, and without the interpreter's end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    leave()
