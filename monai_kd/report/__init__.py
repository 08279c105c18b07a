# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.report.page import write_report
from monai_kd.report.provenance import environment
from monai_kd.report.record import train_seconds, typed_command, write_run
from monai_kd.report.runs import Run, load_runs

__all__ = [
    "Run",
    "environment",
    "load_runs",
    "train_seconds",
    "typed_command",
    "write_report",
    "write_run",
]
