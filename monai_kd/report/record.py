# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_kd.utils import write_text

__all__ = ["train_seconds", "typed_command", "write_run"]


def train_seconds(output_dir: str | os.PathLike) -> float | None:
    """Return how long the training took that `History` watched, all its stages; None if there is no record of it.

    Args:
        output_dir: folder of its `training.json`. Those of other stages are in folders within; what another run left
            there does not count.
    """
    main = Path(output_dir) / "training.json"
    if not main.is_file():
        return None
    files = [main, *sorted(main.parent.glob("*/training.json"))]
    told, *stages = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    same = [stage for stage in stages if stage.get("process") == told.get("process")]
    return float(told["seconds"]) + sum(float(stage["seconds"]) for stage in same)


def typed_command() -> str:
    """Return what was typed to start this process, as one could type it again in the same folder."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":  # python -m package
        package = ".".join(program.parent.parts[-2 if program.parent.parent.name == "monai" else -1 :])
        return shlex.join(["python", "-m", package, *sys.argv[1:]])
    return shlex.join([program.name, *sys.argv[1:]])


def write_run(output_dir: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Write `run.json`, which says what the files beside it are of.

    Args:
        output_dir: folder of the file, made if need be.
        content: what a report asks for: role, recipe, seed, title, setting, command, data, split, parameters, flops,
            latency_ms, file_bytes, train_seconds; perhaps classes, subsets and environment.

    Example::

        >>> import tempfile
        >>> from monai_kd.report import write_run
        >>> write_run(tempfile.mkdtemp(), {"role": "alone", "seed": 0}).name
        'run.json'
    """
    path = Path(output_dir) / "run.json"
    write_text(path, json.dumps(dict(content), indent=2) + "\n")
    return path
