# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import shlex

import monai.bundle

from monai_kd.commands.composition import Composition, importable
from monai_kd.commands.overrides import typed
from monai_kd.commands.privileged import warn_without_privileged
from monai_kd.utils.errors import ConfigError

__all__ = ["command_line", "refuse_published", "run"]


def run(composed: Composition) -> None:
    """Print MONAI's own command for a workflow and do what it says.

    Args:
        composed: a bundle's training and what is laid over it.

    Raises:
        ConfigError: as `refuse_published`.
        KeyboardInterrupt: it was interrupted; says how to go on, if the bundle has a `resume`.
    """
    refuse_published(composed)
    if os.environ.get("RANK", "0") == "0":
        print(f"the same in MONAI's words: {command_line(composed)}", flush=True)
        warn_without_privileged(composed)
    overrides = {"bundle_root": str(composed.bundle), **composed.overrides}
    with importable(composed.bundle):
        try:
            monai.bundle.run(config_file=[str(file) for file in composed.files], **composed.options, **overrides)
        except KeyboardInterrupt:
            if "resume" in composed.merged():
                raise KeyboardInterrupt("go on from the last checkpoint with --resume True") from None
            raise


def refuse_published(composed: Composition) -> None:
    """Refuse what is laid over `inference`: that is packed, not run.

    Raises:
        ConfigError: there is such; names the keys.
    """
    if composed.published:
        where = ", ".join(f"--inference::{key}" for key in composed.published)
        raise ConfigError("is for packing, not for running", where=where)


def command_line(composed: Composition) -> str:
    """The command that does the same as `run`, typed in the same folder."""
    config_file = [str(file) for file in composed.files]
    given = {"config_file": config_file, **composed.options, "bundle_root": str(composed.bundle), **composed.overrides}
    scripts = f"PYTHONPATH={shlex.quote(str(composed.bundle))} " if (composed.bundle / "scripts").is_dir() else ""
    return f"{scripts}python -m monai.bundle run " + " ".join(typed(key, value) for key, value in given.items())
