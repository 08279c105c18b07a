# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .dense_label import DenseLabeld
from .pyramid import Pyramid, PyramidD, Pyramidd, PyramidDict
from .rotation_stack import RotationStack, RotationStackD, RotationStackd, RotationStackDict
