# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_kd.metrics import shot_scores
from monai_kd.report import load_runs, write_report
from monai_kd.utils import DataError

SUBSETS = {"many": [0, 1], "few": [2]}


def test_page_shows_common_and_rare_classes(make_run, tmp_path):
    for seed in (0, 1):
        make_run("alone", seed, subsets=SUBSETS)
        make_run("distilled", seed, subsets=SUBSETS)
    runs = load_runs(tmp_path / "runs")
    page = write_report(tmp_path / "runs", tmp_path / "page.html", resamples=20).read_text()
    section = page[page.index("Common and rare classes") : page.index("Learning curves")]
    for role in ("alone", "distilled"):
        few = [shot_scores(run.label, run.probability, SUBSETS)["few"] for run in runs if run.role == role]
        assert f"{sum(few) / 2:.3f}" in section
    assert "Many" in section and "Mean" in section


def test_page_of_runs_without_subsets_has_no_such_section(make_run, tmp_path):
    make_run("alone")
    page = write_report(tmp_path / "runs", tmp_path / "page.html", resamples=20).read_text()
    assert "Common and rare" not in page


@pytest.mark.parametrize("subsets", [["many"], {"many": 3}, {"many": ["a"]}])
def test_subsets_that_are_none_are_refused(make_run, tmp_path, subsets):
    make_run("alone", subsets=subsets)
    with pytest.raises(DataError, match=r"run.json, key 'subsets': must be a mapping"):
        load_runs(tmp_path / "runs")
