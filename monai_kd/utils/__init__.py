# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .distributed import broadcast, gather_rows, is_distributed, joint_mean
from .errors import (
    CheckpointError,
    ClassMismatchError,
    ConfigError,
    DataError,
    DistillationError,
    NonFiniteError,
    ShapeMismatchError,
    TapError,
    TeacherChangedError,
    UnknownLayerError,
    UnknownNameError,
    suggest,
)
from .files import beside, read_json, read_state, write_state, write_text, write_torchscript
from .finite import check_finite
from .hashing import state_hash
from .modules import find_layer, is_compiled, is_parallel, unique, unwrap
from .schedules import Schedule, constant, cosine, geometric, linear, ramp_up, step
from .tensors import connected_zero, plain, to_device, to_float
