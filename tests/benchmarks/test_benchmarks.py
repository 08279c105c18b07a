# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.benchmarks.__main__ import main
from tests.benchmarks.cases import CASES
from tests.benchmarks.targets import TARGETS, Target, excess, judge, per_tap, ratio
from tests.benchmarks.timing import Clock, Variant, compare, interleave
from tests.benchmarks.variants import SETTINGS, bare_loop, textbook_kd, trainer, variants

CPU = torch.device("cpu")
TINY = replace(CASES["tiny"], steps=3)


def trained_weights(monkeypatch, build, *args, **kwargs) -> torch.Tensor:
    """All weights of the student after one run of a variant."""
    students = []
    networks = type(TINY).networks

    def keep(case, device):
        teacher, student = networks(case, device)
        students.append(student)
        return teacher, student

    monkeypatch.setattr(type(TINY), "networks", keep)
    build(TINY, SETTINGS["float32"], CPU, *args, **kwargs).run()
    monkeypatch.setattr(type(TINY), "networks", networks)
    return nn.utils.parameters_to_vector(students[0].parameters()).detach()


class TestFairness:
    @pytest.mark.parametrize("taps", [0, 1, 4])
    def test_trainer_and_bare_loop_take_the_same_steps(self, taps, monkeypatch):
        ours = trained_weights(monkeypatch, trainer, taps=taps)
        bare = trained_weights(monkeypatch, bare_loop, taps=taps)
        torch.testing.assert_close(ours, bare, rtol=1e-6, atol=1e-7)
        assert not torch.equal(bare, trained_weights(monkeypatch, bare_loop, teach=False))

    def test_textbook_kd_is_the_same_loss(self, monkeypatch):
        textbook = trained_weights(monkeypatch, bare_loop, kd=textbook_kd)
        torch.testing.assert_close(textbook, trained_weights(monkeypatch, bare_loop), rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("name", CASES)
    def test_every_variant_can_be_judged(self, name):
        times = {variant: [1.0, 1.0] for variant in variants(CASES[name], SETTINGS["float32"], CPU)}
        assert {judge(target, times, "cpu")["figure"] for target in TARGETS[name]} <= {0.0, 1.0}


class TestTiming:
    def test_clock_counts_whole_steps(self):
        clock = Clock(["a", "b"], 3, CPU)
        assert list(clock) == ["a", "b", "a", "b"] and len(clock) == 4
        assert clock.milliseconds > 0

    def test_every_variant_runs_in_every_round(self):
        clocks = {name: Clock([0], 2, CPU) for name in "abc"}
        runs = []
        times = interleave({n: Variant(lambda n=n, c=c: runs.append((n, list(c))), c) for n, c in clocks.items()}, 4)
        assert len(runs) == 3 * 5 and all(len(values) == 4 for values in times.values())
        assert {n for n, _ in runs[:3]} == {n for n, _ in runs[3:6]} == set("abc")

    def test_compare_pairs_rounds(self):
        rows = compare({"a": [1.0, 2.0, 4.0], "b": [2.0, 4.0, 8.0]}, "a")
        assert rows["b"]["ratio"] == [2.0, 2.0, 2.0]
        assert rows["b"]["excess_milliseconds"][1] == 2.0


TIMES = {
    "floor": [1.0],
    "monai_kd": [1.1],
    "bare, our losses": [1.0],
    "bare, our losses, 4 hooks": [3.0],
    "monai_kd, 4 taps": [3.5],
}


class TestTargets:
    def test_figures(self):
        assert ratio("monai_kd")(TIMES) == [1.1]
        assert excess("monai_kd", "floor")(TIMES) == [pytest.approx(0.1)]
        assert per_tap(4)(TIMES) == [pytest.approx((0.5 - 0.1) / 4)]

    @pytest.mark.parametrize(("limit", "verdict"), [(1.2, "pass"), (1.05, "FAIL")])
    def test_verdict(self, limit, verdict):
        assert judge(Target("", ratio("monai_kd"), limit), TIMES, "cpu")["verdict"] == verdict

    def test_target_for_cpus_is_not_judged_elsewhere(self):
        assert "not judged" in judge(Target("", ratio("monai_kd"), 1.2, cpu=True), TIMES, "cuda")["verdict"]


@pytest.mark.slow
def test_report_is_written(tmp_path, capsys):
    main(["--quick", "--cases", "tiny", "--rounds", "2", "--device", "cpu", "--output", str(tmp_path)])
    result = json.loads((tmp_path / "benchmarks.json").read_text())["results"][0]
    assert set(result["variants"]) == set(variants(CASES["tiny"], SETTINGS["float32"], CPU))
    assert result["variants"]["floor"]["ratio"] == [1.0, 1.0, 1.0]
    assert "| floor again (A/A) |" in (tmp_path / "benchmarks.md").read_text()
    assert "A/A control" in capsys.readouterr().out
