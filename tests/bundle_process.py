# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bundle_process` is `python -m monai.bundle` that leaves as `tests.ranks` does, for torchrun.

gloo's threads may let go of tensors late, and abort where the interpreter has ended before them: it does not end.
"""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
