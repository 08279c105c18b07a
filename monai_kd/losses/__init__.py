# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .attention_transfer import AttentionTransferLoss
from .binary_kd import BinaryKDLoss
from .channel_wise_kd import ChannelWiseKDLoss
from .dkd import DKDLoss
from .hint import HintLoss
from .kd import KDLoss
from .logit_mse import LogitMSELoss
from .logit_standardized_kd import LogitStandardizedKDLoss
from .margin_kd import MarginKDLoss
from .objective import Objective
from .ofa_kd import OFAKDLoss
from .probability_mse import ProbabilityMSELoss
from .sample_relation import SampleRelationLoss
from .soft_target_kd import SoftTargetKDLoss
from .subset_kd import SubsetKDLoss
from .term import Term
