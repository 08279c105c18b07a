# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import look_up_option

from monai_kd.metrics.multilabel import checked_findings
from monai_kd.utils import DataError

__all__ = ["Predictions"]


class Predictions:
    """Write an evaluator's class probabilities to `predictions.npz`, which a report reads, and `predictions.csv`.

    Arrays: `case` [N] and `group` [N], text; `label` [N]; `probability` [N, C], the softmax of the network's answer.
    For findings that may occur together, `activation` is "sigmoid", and `label` is [N, C], 0 or 1 for each finding. The
    batch has the keys `case` and, unless a case is its own group, `group`; the evaluator is not decollated.

    Args:
        output_dir: folder of the two files, made if need be.
        activation: what makes probabilities of the network's answer: "softmax" (one class a case) or "sigmoid" (each
            finding by itself).

    Raises:
        DataError: the batch is decollated, or has no `case`; with sigmoid, labels that are not 0 or 1 for each finding.

    Example::

        >>> from monai_kd.handlers import Predictions
        >>> handler = Predictions("output")  # among the evaluator's val_handlers
    """

    def __init__(self, output_dir: str | os.PathLike, activation: str = "softmax") -> None:
        self.folder = Path(output_dir)
        self.activation = look_up_option(activation, ("softmax", "sigmoid"))
        self._rows: list[tuple[str, str, int | np.ndarray, np.ndarray]] = []

    def attach(self, engine: Engine) -> None:
        """Note every batch of `engine`, write at its end."""
        engine.add_event_handler(Events.STARTED, lambda engine: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def __call__(self, engine: Engine) -> None:
        """Note one batch."""
        batch, output = engine.state.batch, engine.state.output
        if not isinstance(batch, Mapping):
            raise DataError("the batch is decollated", where="Predictions", fix="give the evaluator decollate: false")
        if "case" not in batch:
            raise DataError("no key 'case' in the batch", where="Predictions", fix=f"keys: {', '.join(batch)}")
        answer = output["pred"].double()
        if self.activation == "sigmoid":
            label, probability = checked_findings(output["label"], answer.sigmoid())
        else:
            label, probability = output["label"].cpu().tolist(), answer.softmax(1).cpu().numpy()
        cases = list(batch["case"])
        self._rows += zip(cases, batch.get("group", cases), label, probability, strict=True)

    def write(self, engine: Engine) -> None:
        """Write both files."""
        case, group, label, probability = map(list, zip(*self._rows, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            self.folder / "predictions.npz",
            case=np.array(case),
            group=np.array(group),
            label=np.array(label),
            probability=np.array(probability),
        )
        with (self.folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            count = range(len(probability[0]))
            labels = [f"label_{i}" for i in count] if self.activation == "sigmoid" else ["label"]
            writer.writerow(["case", "group", *labels, *(f"probability_{i}" for i in count)])
            writer.writerows([c, g, *np.ravel(y), *(f"{v:.6f}" for v in p)] for c, g, y, p in self._rows)
