# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .evaluator import DistillationEvaluator
from .stages import alternate, stage
from .trainer import DistillationTrainer, trainable
