# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Knowledge distillation for MONAI: passes, terms, one trainer, and published methods as recipes."""

from __future__ import annotations

from . import data, engines, handlers, inferers, losses, metrics, networks, recipes, transforms, utils
from .engines import trainable
from .recipes import load_recipe

__version__ = "0.1.0"
