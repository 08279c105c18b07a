# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is looked at before a training: every file of a dataset.json, and how the cases fit each other."""

from __future__ import annotations

from .dataset import check_dataset
from .report import DatasetReport, Finding
