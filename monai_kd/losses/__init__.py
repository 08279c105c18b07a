# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .ab import ABLoss
from .attention_transfer import AttentionTransferLoss
from .binary_kd import BinaryKDLoss
from .boundary_kd import BoundaryKDLoss
from .channel_gram import ChannelGramLoss
from .channel_wise_kd import ChannelWiseKDLoss
from .class_relation import ClassRelationLoss
from .correlation_congruence import CorrelationCongruenceLoss
from .cross_pseudo_supervision import CrossPseudoSupervisionLoss
from .dist import DISTLoss
from .dkd import DKDLoss
from .fsp import FSPLoss
from .hcl import HCLLoss
from .hint import HintLoss
from .intra_class_variation import IntraClassVariationLoss
from .kd import KDLoss
from .logit_mse import LogitMSELoss
from .logit_standardized_kd import LogitStandardizedKDLoss
from .margin_kd import MarginKDLoss
from .mgd import MGDLoss
from .nst import NSTLoss
from .objective import Objective
from .ofa_kd import OFAKDLoss
from .ofd import OFDLoss
from .pkt import PKTLoss
from .probability_mse import ProbabilityMSELoss
from .prototype_kd import PrototypeKDLoss
from .region_affinity import RegionAffinityLoss
from .region_context import RegionContextLoss
from .rkd import RKDLoss
from .sample_relation import SampleRelationLoss
from .similarity_preserving import SimilarityPreservingLoss
from .soft_target_kd import SoftTargetKDLoss
from .srd import SRDLoss
from .structural_pairwise import StructuralPairwiseLoss
from .subset_kd import SubsetKDLoss
from .term import Term
from .uncertainty_masked_consistency import UncertaintyMaskedConsistencyLoss
from .vid import VIDLoss
