# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .attention_labels import AttentionLabels
from .attention_pooling import AttentionPooling
from .class_activation import ClassActivation, ClassActivationTeacher, class_activation_map
from .class_memory_bank import ClassMemoryBank
from .class_subset import ClassSubset, SubsetLabels
from .connector import Connector, PooledConnector
from .context_pooling import ContextPooling
from .discrepancy_memory_bank import DiscrepancyMemoryBank
from .ensemble import TeacherEnsemble, accuracy_weights, teacher_accuracy
from .fast import choose_fast
from .grafting import Grafting, check_chain
from .hard_instances import HardInstances
from .layer_attention import LayerAttention
from .learned_temperature import LearnedTemperature
from .lite_unet import LiteUNet
from .margin import batch_norm_margin
from .masked_generation import MaskedGeneration
from .memory_bank import MemoryBank
from .mobilenet_v2 import MobileNetV2
from .mobilenet_v3 import MobileNetV3Small
from .monte_carlo import MonteCarloTeacher
from .multi_modal import BilinearFusion, MultiModalNetwork
from .origin import check_origin, read_origin, write_origin
from .paraphraser import Paraphraser, Translator
from .peer_fusion import GatedFusion, MeanLogits, PooledFusion
from .probe import Probe, without_head
from .projector import Projector
from .prototype_head import PrototypeHead
from .pseudo_label_bank import PseudoLabelBank
from .ranked_views import RankedViews, ranked_selection
from .reused_head import ReusedHead, reuse_head
from .review_fusion import ReviewFusion
from .row_norm import RowNorm
from .stack_views import StackViews, split_views
from .teacher import Teacher, teachers_in
from .teacher_bundle import bundle_network, load_teacher_bundle
from .variational import VariationalConnector
from .view_similarity import ViewSimilarity
from .virtual_teacher import VirtualTeacher
from .weights import check_resettable, fresh_copy, load_weights, reset_parameters
