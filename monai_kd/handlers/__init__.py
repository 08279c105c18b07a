# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .bag_predictions import BagPredictions
from .checkpoint import Checkpoint
from .ema import EMA
from .eval_mode import EvalMode
from .final_model import FinalModelSaver
from .finite_loss import FiniteLoss
from .history import History
from .predictions import Predictions
from .pseudo_labeling import PseudoLabeling
from .push_prototypes import PushPrototypes
from .run_lock import RunLock
from .schedule import ScheduleParameter, Weights
from .segmentation_scores import SegmentationScores
from .snapshot import Snapshot
from .sync import SyncGradients
from .teacher_guard import TeacherGuard
from .term_logger import TermLogger
from .validation_score import ValidationScore
