# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .attention_transfer import AttentionTransferLoss
from .binary_kd import BinaryKDLoss
from .hint import HintLoss
from .kd import KDLoss
from .objective import Objective
from .probability_mse import ProbabilityMSELoss
from .sample_relation import SampleRelationLoss
from .term import Term
