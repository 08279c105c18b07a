# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .ab import ABLoss
from .attention_kd import AttentionKDLoss
from .attention_overlap import AttentionOverlapLoss
from .attention_transfer import AttentionTransferLoss
from .binary_kd import BinaryKDLoss
from .boundary_kd import BoundaryKDLoss
from .box_transfer import BoxTransferLoss
from .cam_transfer import CAMTransferLoss
from .channel_gram import ChannelGramLoss
from .channel_wise_kd import ChannelWiseKDLoss
from .class_guided_contrastive import ClassGuidedContrastiveLoss
from .class_relation import ClassRelationLoss
from .consensus import ConsensusLoss, consensus_weights
from .correlation_congruence import CorrelationCongruenceLoss
from .crd import CRDLoss
from .cross_pseudo_supervision import CrossPseudoSupervisionLoss
from .curriculum_kd import CurriculumKDLoss
from .dist import DISTLoss
from .dkd import DKDLoss
from .factor_transfer import FactorTransferLoss
from .fsp import FSPLoss
from .gaze_transfer import GazeTransferLoss
from .gradient_agreement import GradientAgreement
from .hcl import HCLLoss
from .hint import HintLoss
from .info_nce import InfoNCELoss
from .intra_class_variation import IntraClassVariationLoss
from .kd import KDLoss
from .layer_attention import LayerAttentionLoss
from .logit_mse import LogitMSELoss
from .logit_standardized_kd import LogitStandardizedKDLoss
from .low_rank import LowRankLoss
from .margin_kd import MarginKDLoss
from .mgd import MGDLoss
from .nst import NSTLoss
from .nt_xent import NTXentLoss
from .objective import Objective
from .ofa_kd import OFAKDLoss
from .ofd import OFDLoss
from .pkt import PKTLoss
from .probabilistically_compact import ProbabilisticallyCompactLoss
from .probability_mse import ProbabilityMSELoss
from .prototype_distance import PrototypeClusterLoss, PrototypeSeparationLoss
from .prototype_kd import PrototypeKDLoss
from .region_affinity import RegionAffinityLoss
from .region_context import RegionContextLoss
from .rkd import RKDLoss
from .sample_relation import SampleRelationLoss
from .self_supervised_similarity import SelfSupervisedSimilarityLoss
from .similarity_preserving import SimilarityPreservingLoss
from .soft_target_kd import SoftTargetKDLoss
from .srd import SRDLoss
from .structural_pairwise import StructuralPairwiseLoss
from .subset_kd import SubsetKDLoss
from .term import Term
from .uncertainty_masked_consistency import UncertaintyMaskedConsistencyLoss
from .vicreg import VICRegLoss
from .vid import VIDLoss
