# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os

import monai.bundle

from monai_kd.commands.overrides import typed
from monai_kd.commands.workflow import Workflow, importable

__all__ = ["command_line", "run"]


def run(flow: Workflow) -> None:
    """Print MONAI's own command for a workflow and do what it says.

    Args:
        flow: a bundle's training and what is laid over it.
    """
    if os.environ.get("RANK", "0") == "0":
        print(f"the same in MONAI's words: {command_line(flow)}", flush=True)
    overrides = {"bundle_root": str(flow.bundle), **flow.overrides}
    with importable(flow.bundle):
        monai.bundle.run(config_file=[str(file) for file in flow.files], **flow.options, **overrides)


def command_line(flow: Workflow) -> str:
    """The command that does the same as `run`, typed in the same folder."""
    config_file = [str(file) for file in flow.files]
    given = {"config_file": config_file, **flow.options, "bundle_root": str(flow.bundle), **flow.overrides}
    scripts = f"PYTHONPATH={flow.bundle} " if (flow.bundle / "scripts").is_dir() else ""
    return f"{scripts}python -m monai.bundle run " + " ".join(typed(key, value) for key, value in given.items())
