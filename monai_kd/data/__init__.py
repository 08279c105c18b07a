# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .bags import BagDataset, collate_bags, pad_bags
from .balanced_sampler import balanced_sampler
from .checks import DatasetReport, Finding, check_dataset
from .class_weights import class_weights
from .datalist import class_names, has_modality, load_datalist, read_dataset
from .exemplars import select_exemplars
from .ihc_patches import write_ihc_patches
from .labeled import draw_labeled
from .pseudo_labels import pseudo_labeled_items, pseudo_labels, select_confident, unlabeled_items
from .readable import readable_items
from .save_datalist import save_datalist
from .seen_cases import check_unseen, seen_names
from .shot_subsets import shot_subsets, subset_weights
from .slide_tiles import slide_tiles
from .split import check_groups, split_groups
from .two_stream import TwoStreamBatchSampler
