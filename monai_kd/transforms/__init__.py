# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from .betti_curve import BettiCurve, BettiCurveD, BettiCurved, BettiCurveDict
from .dense_label import DenseLabeld
from .dicom_series import read_series
from .load_dicom_seriesd import LoadDicomSeriesD, LoadDicomSeriesd, LoadDicomSeriesDict
from .load_tile import LoadTileD, LoadTiled, LoadTileDict
from .pyramid import Pyramid, PyramidD, Pyramidd, PyramidDict
from .read_imaged import ReadImageD, ReadImaged, ReadImageDict
from .rotation_stack import RotationStack, RotationStackD, RotationStackd, RotationStackDict
from .stain_jitter import RandStainJitter, RandStainJitterD, RandStainJitterd, RandStainJitterDict
from .stain_separation import StainSeparation, StainSeparationD, StainSeparationd, StainSeparationDict
from .tissue_mask import TissueMask, TissueMaskD, TissueMaskd, TissueMaskDict
