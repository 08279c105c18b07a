# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler
from torch import Tensor

from monai_kd.metrics import CumulativeScore, balanced_accuracy, finding_auc
from monai_kd.utils.errors import DataError
from tests.ranks import result, run_on_two_ranks


def handler(kind: str) -> IgniteMetricHandler:
    scores = {
        "classes": lambda label, pred: balanced_accuracy(label, pred.softmax(1)),
        "findings": lambda label, pred: finding_auc(label, pred.sigmoid()),
    }
    return IgniteMetricHandler(CumulativeScore(scores[kind]), save_details=False)


def answers(kind: str) -> tuple[Tensor, Tensor]:
    """Thirteen cases; of the four classes one is absent."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (13,), generator=generator)
    pred = torch.randn(13, 4, generator=generator)
    return pred, label if kind == "classes" else (pred + torch.randn(13, 4, generator=generator) > 0).float()


def evaluate(kind: str, batches: list[tuple[Tensor, Tensor]]) -> float:
    engine = Engine(lambda engine, batch: batch)
    handler(kind).attach(engine, "score")
    return engine.run(batches).metrics["score"]


def on_a_rank(kind: str, rank: int) -> dict[str, Tensor]:
    pred, label = answers(kind)
    cut = slice(None, 9) if rank else slice(9, None)
    return {"score": torch.tensor(evaluate(kind, [(pred[cut], label[cut])]), dtype=torch.float64)}


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_batches_are_scored_as_one(kind):
    pred, label = answers(kind)
    expected = handler(kind).metric_fn.score(label, pred)
    assert evaluate(kind, list(zip(pred.split(5), label.split(5), strict=True))) == expected


def test_a_class_without_cases_does_not_count():
    pred, label = answers("classes")
    recalls = [(pred[label == c].argmax(1) == c).double().mean().item() for c in range(3)]
    assert evaluate("classes", [(pred, label)]) == pytest.approx(np.mean(recalls))


def test_processes_with_different_numbers_of_cases_are_scored_as_one(tmp_path):
    run_on_two_ranks(on_a_rank, ["classes", "findings"], tmp_path)
    for kind in ("classes", "findings"):
        pred, label = answers(kind)
        expected = evaluate(kind, [(pred, label)])
        assert [state["score"].item() for state in result(tmp_path, kind)] == pytest.approx([expected] * 2)


def test_every_epoch_starts_anew():
    pred, label = answers("classes")
    engine = Engine(lambda engine, batch: batch)
    handler("classes").attach(engine, "score")
    engine.run([(pred, label)])
    assert engine.run([(pred[:4], label[:4])]).metrics["score"] == evaluate("classes", [(pred[:4], label[:4])])


def test_nothing_to_score_is_told():
    with pytest.raises(DataError, match="CumulativeScore: there is no case to score"):
        CumulativeScore(lambda label, pred: 0.0).aggregate()
