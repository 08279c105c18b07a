# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_kd.metrics.agreement import agreement, cohen_kappa
from monai_kd.metrics.bootstrap import (
    Interval,
    bootstrap_draws,
    bootstrap_interval,
    percentile_interval,
    resampled_rows,
)
from monai_kd.metrics.calibration import ReliabilityBins, expected_calibration_error, reliability_bins
from monai_kd.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_auc
from monai_kd.metrics.cost import count_flops, count_parameters, cpu_latency, file_bytes
from monai_kd.metrics.cumulative_score import CumulativeScore
from monai_kd.metrics.finding_curves import finding_auc, finding_draws, finding_f1, mean_average_precision
from monai_kd.metrics.multilabel import finding_agreement, finding_calibration_error
from monai_kd.metrics.shots import shot_scores

__all__ = [
    "CumulativeScore",
    "Interval",
    "ReliabilityBins",
    "accuracy",
    "agreement",
    "balanced_accuracy",
    "bootstrap_draws",
    "bootstrap_interval",
    "cohen_kappa",
    "confusion_matrix",
    "count_flops",
    "count_parameters",
    "cpu_latency",
    "expected_calibration_error",
    "file_bytes",
    "finding_agreement",
    "finding_auc",
    "finding_calibration_error",
    "finding_draws",
    "finding_f1",
    "macro_auc",
    "mean_average_precision",
    "percentile_interval",
    "reliability_bins",
    "resampled_rows",
    "shot_scores",
]
