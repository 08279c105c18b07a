# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""The textbook forms that losses are timed against are the same losses."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import pytest
import torch

import monai_kd.losses
from tests.benchmarks import loss_case, losses
from tests.benchmarks.losses import OURS, TEXTBOOK, load_cases, main, row, step
from tests.benchmarks.public import torchdistill_loss

SMALL = {"L": (6, 7), "M": (3, 4, 8, 8), "V": (2, 3, 8, 8, 8), "E64": (6, 5), "E256": (7, 5), "X": (2, 9, 2, 2)}
KEYS = [key for key, case in load_cases().items() if case.textbook is not None]
THEIRS = [key for key in KEYS if torchdistill_loss(*key.strip("'").split("/")[1:]) is not None]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(loss_case, "SIZES", SMALL)
    monkeypatch.setattr(losses, "SIZES", SMALL)


@pytest.mark.parametrize("key", [key for key in KEYS if "CRDLoss" not in key])
def test_textbook_is_the_same_loss(key, small):
    case = load_cases()[key]
    inputs, extras = case.tensors(), dict(case.extras(SMALL[case.size]))
    asked = [x for x in inputs if x.requires_grad]
    values = [form(*inputs, **extras) for form in (case.ours(), case.textbook)]
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-6)
    mine, theirs = (torch.autograd.grad(value, asked) for value in values)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_every_loss_is_timed():
    ours = {name for name in dir(monai_kd.losses) if name.endswith("Loss")}
    assert {case.name for case in load_cases().values()} == ours


def test_textbook_crd_is_the_same_loss(monkeypatch):
    from tests.benchmarks.textbook import contrastive

    monkeypatch.setattr(contrastive, "SAMPLES", 50)
    monkeypatch.setattr(contrastive, "NEGATIVES", 20)
    inputs = contrastive.embeddings((4, 1))
    values = [form(*inputs) for form in (contrastive.Ours(), contrastive.Textbook())]
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-6)


def test_a_step_leaves_no_gradient(small):
    for which in (OURS, TEXTBOOK):
        run = step("response/KDLoss/L", which)
        assert torch.equal(run(), run())


def test_targets_are_judged():
    result = {
        "case": "response/KDLoss/V",
        "variants": {
            OURS: {"milliseconds": [1, 2, 3], "ratio": [0.1, 0.2, 0.3], "peak_mebibytes": 80.0},
            TEXTBOOK: {"milliseconds": [1, 10, 30], "ratio": [1, 1, 1], "peak_mebibytes": 320.0},
        },
        "time_target": 0.3,
        "memory_target": 74.0,
    }
    assert "| <= 0.3 pass | - | 80 | 320 | <= 74 MiB FAIL |" in row(result)


# theirs over ours, where it computes the same
SCALES = {"RKDLoss": 1, "AttentionTransferLoss": 1, "VIDLoss": 1, "ABLoss": 1, "HCLLoss": 1, "SRDLoss": 2}


@pytest.mark.skipif(importlib.util.find_spec("torchdistill") is None, reason="torchdistill is not installed")
@pytest.mark.parametrize("key", THEIRS)
def test_torchdistill_is_called(key, small):
    case = load_cases()[key]
    inputs, extras = case.tensors(), dict(case.extras(SMALL[case.size]))
    value = torchdistill_loss(case.name, case.size)(*inputs, **extras)
    value.sum().backward()
    assert inputs[0].grad.abs().max() > 0
    if case.name in SCALES:
        torch.testing.assert_close(value, SCALES[case.name] * case.ours()(*inputs, **extras), rtol=1e-4, atol=1e-6)


def test_what_torchdistill_lacks_is_left_out():
    assert torchdistill_loss("NSTLoss", "M") is None and torchdistill_loss("KDLoss", "V") is None


def test_report_is_written(small, tmp_path, capsys):
    main(["response/KDLoss", "--rounds", "3", "--no-memory", "--output", str(tmp_path)])
    results = json.loads((tmp_path / "losses.json").read_text())["results"]
    assert [r["case"] for r in results] == ["response/KDLoss/L", "response/KDLoss/V"]
    assert "| KDLoss | L |" in capsys.readouterr().out
    assert replace(load_cases()["response/KDLoss/V"], time=None).time is None
