# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from tests.benchmarks.networks import BUNDLES, costs


def test_a_student_costs_less_than_its_teacher():
    found = costs(BUNDLES / "hippocampus_segmentation", rounds=1, seconds=0.01)
    teacher, student = found["teacher"], found["student"]
    assert student["parameters"] * 10 <= teacher["parameters"] and student["flops"] * 10 <= teacher["flops"]
    assert 0 < student["latency_ms"] and 0 < teacher["latency_ms"]
