# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
import sys

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from monai_kd.handlers import Predictions, SegmentationScores
from monai_kd.report import load_runs, typed_command, write_run


def test_a_report_reads_what_is_written(tmp_path):
    items = [{"image": torch.randn(4), "label": i % 2, "case": str(i)} for i in range(4)]
    loader, handlers = DataLoader(items, batch_size=4), [Predictions(tmp_path / "run")]
    SupervisedEvaluator("cpu", loader, torch.nn.Linear(4, 2), val_handlers=handlers, decollate=False).run()
    texts = dict.fromkeys(("title", "setting", "command", "data", "split"), "")
    costs = dict.fromkeys(("parameters", "flops", "latency_ms", "file_bytes", "train_seconds"))
    write_run(tmp_path / "run", {"role": "alone", "recipe": None, "seed": 1, **texts, **costs})
    (run,) = load_runs(tmp_path)
    assert run.seed == 1 and run.group.tolist() == ["0", "1", "2", "3"]


def test_a_report_reads_the_scores_that_are_written(tmp_path):
    items = [{"image": torch.randn(1, 4, 4), "label": torch.ones(1, 4, 4), "case": str(i)} for i in range(3)]
    post = AsDiscreted(["pred", "label"], to_onehot=[2, 2], argmax=[True, False])
    SupervisedEvaluator(
        "cpu",
        DataLoader(items, batch_size=2),
        torch.nn.Conv2d(1, 2, 1),
        postprocessing=post,
        val_handlers=[SegmentationScores(tmp_path / "run", ["nucleus"], (1.0, 1.0), unit="px")],
    ).run()
    texts = dict.fromkeys(("title", "setting", "command", "data", "split"), "")
    costs = dict.fromkeys(("parameters", "flops", "latency_ms", "file_bytes", "train_seconds"))
    write_run(tmp_path / "run", {"role": "alone", "recipe": None, "seed": 1, **texts, **costs})
    (run,) = load_runs(tmp_path)
    assert run.classes == ("nucleus",) and run.dice.shape == run.hd95.shape == (3, 1)
    assert run.task.scores["hd95"].axis == "HD95 (px)"
    assert run.group.tolist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("argv", "start"),
    [
        (
            ["/x/site-packages/monai/bundle/__main__.py", "run", "--files", "['a', 'b']"],
            ["python", "-m", "monai.bundle"],
        ),
        (["/x/site-packages/monai_kd/__main__.py", "run", "kd"], ["python", "-m", "monai_kd"]),
        (["/x/bin/monai-kd", "run", "kd"], ["monai-kd"]),
    ],
)
def test_command_is_told_as_it_was_typed(monkeypatch, argv, start):
    monkeypatch.setattr(sys, "argv", argv)
    assert shlex.split(typed_command()) == [*start, *argv[1:]]
