# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest
import torch

from monai_kd.losses.srd import SRDLoss
from monai_kd.utils import ConfigError, ShapeMismatchError
from tests.losses.loss_checks import LossChecks


class TestSRDLoss(LossChecks):
    test_identical_networks_give_zero = None  # the least value is log(eps); checked below
    test_empty_batch_is_a_connected_zero = None  # it is log(eps), connected
    mismatches = (
        ((2, 3), (2, 5), ShapeMismatchError, "put a `Connector`"),
        ((2, 3, 4, 4), (2, 3, 4, 1), ShapeMismatchError, r"teacher \(2, 3, 4, 1\)"),
        ((2, 3, 4, 4), (1, 3, 4, 4), ShapeMismatchError, r"teacher \(1, 3, 4, 4\)"),
    )

    def build(self):
        return SRDLoss(alpha=3.0)

    def oracle(self, input, target):
        pairs = zip(input.flatten().tolist(), target.flatten().tolist(), strict=True)
        return math.log(1e-5 + sum(abs(s - t) ** 3 for s, t in pairs))

    def test_the_minimum_is_the_teacher(self, shape):
        _, target = self.pair(shape)
        value, gradient = self.run(self.build(), target.clone(), target)
        assert value.item() == pytest.approx(math.log(1e-5)) and torch.equal(gradient, torch.zeros_like(gradient))

    @pytest.mark.parametrize("options", [{"alpha": 0.5}, {"eps": 0.0}])
    def test_impossible_numbers_are_refused(self, options):
        with pytest.raises(ConfigError, match=next(iter(options))):
            SRDLoss(**options)
