# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.report.text import quantity, signed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (12, "12"),
        (999, "999"),
        (999.9, "1 k"),
        (1000, "1 k"),
        (24_137, "24.1 k"),
        (3.02e9, "3.02 G"),
        (5e15, "5000 T"),
    ],
)
def test_quantities_keep_three_digits(value, said):
    assert quantity(value) == said


def test_what_rounds_to_nothing_has_no_sign():
    assert signed(-0.0004) == "0.000"
    assert signed(0.0006) == "+0.001"
    assert signed(float("nan")) == "undefined"
