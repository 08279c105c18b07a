# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.calibration import calibration_binning

from monai_kd.metrics.classification import Values, checked

__all__ = ["ReliabilityBins", "expected_calibration_error", "reliability_bins"]


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """The bars of a reliability diagram; where a bin is empty, `confidence` and `accuracy` are nan."""

    edges: np.ndarray  #: borders of the bins, [B + 1]
    count: np.ndarray  #: cases in each bin, [B]
    confidence: np.ndarray  #: their mean probability of the predicted class, [B]
    accuracy: np.ndarray  #: the fraction of them that is right, [B]


def reliability_bins(label: Values, probability: Values, bins: int = 15) -> ReliabilityBins:
    """Sort cases into bins of equal width by how sure the network is, and see how often it is right.

    .. math:: B_b = \\{i: \\tfrac{b}{B} \\le \\max_c p_{ic} < \\tfrac{b+1}{B}\\}, \\quad
        \\mathrm{conf}_b = \\frac{1}{|B_b|} \\sum_{i \\in B_b} \\max_c p_{ic}, \\quad
        \\mathrm{acc}_b = \\frac{1}{|B_b|} \\sum_{i \\in B_b} [\\arg\\max_c p_{ic} = y_i]

    with 1 in the last bin. The binning is `monai.metrics.calibration_binning` (in float32), asked about the predicted
    class only.

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].
        bins: how many bins, B.

    Example::

        >>> from monai_kd.metrics import reliability_bins
        >>> reliability_bins([0, 0], [[0.9, 0.1], [0.2, 0.8]], bins=2).accuracy.tolist()
        [nan, 0.5]
    """
    y, p = checked(label, probability)
    confidence, right = torch.from_numpy(p.max(1))[None, None], torch.from_numpy(p.argmax(1) == y)[None, None]
    mean, hit, count = calibration_binning(confidence, right, num_bins=bins)
    return ReliabilityBins(
        np.linspace(0, 1, bins + 1), count[0, 0].numpy().astype(int), mean[0, 0].numpy(), hit[0, 0].numpy()
    )


def expected_calibration_error(label: Values, probability: Values, bins: int = 15) -> float:
    """Mean distance between how sure a network is and how often it is right (ECE).

    .. math:: \\sum_b \\frac{|B_b|}{N} \\, |\\mathrm{acc}_b - \\mathrm{conf}_b|

    over the bins of :func:`reliability_bins`. It grows with fewer cases and with more bins; compare like with like.

    Args:
        label: true classes, [N].
        probability: class probabilities, [N, C].
        bins: how many bins of equal width.

    Guo et al., *On calibration of modern neural networks*, ICML 2017.

    Example::

        >>> from monai_kd.metrics import expected_calibration_error
        >>> round(expected_calibration_error([0, 1], [[0.9, 0.1], [0.9, 0.1]]), 3)
        0.4
    """
    cells = reliability_bins(label, probability, bins)
    filled = cells.count > 0
    gap = np.abs(cells.accuracy[filled] - cells.confidence[filled])
    return float((cells.count[filled] * gap).sum() / cells.count.sum())
