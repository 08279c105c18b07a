# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K19: the page says where a teacher is no better than the student that it is to teach."""

from __future__ import annotations

import pytest

from monai_kd.report import load_runs, write_report
from monai_kd.report.results import rows_of
from tests.report.conftest import RunFactory

WARNING = "A teacher is no better than the student alone"


@pytest.mark.parametrize(("teacher", "warned"), [(0.3, True), (0.95, False)])
def test_a_weak_teacher_is_named_with_its_figure(tmp_path, teacher, warned):
    (tmp_path / "runs").mkdir()
    make = RunFactory(tmp_path / "runs")
    make("teacher", right=teacher, setting="")
    for seed in (0, 1):
        make("alone", seed)
        make("distilled", seed)
    page = write_report(tmp_path / "runs", tmp_path / "page.html", resamples=20).read_text()
    assert (WARNING in page) == warned
    if warned:
        means = {row.role: row.scores["balanced_accuracy"].mean for row in rows_of(load_runs(tmp_path / "runs"), 20)}
        assert f"{means['teacher']:.3f} and {means['alone']:.3f} in balanced accuracy" in page
