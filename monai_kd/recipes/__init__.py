# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .keys import check_keys
from .overlay import lay_over
from .paths import check_paths
from .recipe import Distillation, Recipe, list_recipes, load_recipe
