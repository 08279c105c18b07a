# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import shlex
import sys

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator

from monai_kd.handlers import Predictions
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
