# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .attention_transfer import AttentionTransferLoss
from .binary_kd import BinaryKDLoss
from .channel_wise_kd import ChannelWiseKDLoss
from .class_relation import ClassRelationLoss
from .correlation_congruence import CorrelationCongruenceLoss
from .dist import DISTLoss
from .dkd import DKDLoss
from .hint import HintLoss
from .kd import KDLoss
from .logit_mse import LogitMSELoss
from .logit_standardized_kd import LogitStandardizedKDLoss
from .margin_kd import MarginKDLoss
from .objective import Objective
from .ofa_kd import OFAKDLoss
from .pkt import PKTLoss
from .probability_mse import ProbabilityMSELoss
from .rkd import RKDLoss
from .sample_relation import SampleRelationLoss
from .similarity_preserving import SimilarityPreservingLoss
from .soft_target_kd import SoftTargetKDLoss
from .subset_kd import SubsetKDLoss
from .term import Term
