# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import look_up_option
from torch import Tensor

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

    name = "predictions"  #: of the two files

    def __init__(self, output_dir: str | os.PathLike, activation: str = "softmax") -> None:
        self.folder = Path(output_dir)
        self.activation = look_up_option(activation, ("softmax", "sigmoid"))
        self._rows: list[tuple[str, str, int | np.ndarray, np.ndarray]] = []

    def attach(self, engine: Engine) -> None:
        """Note every batch of `engine`, write at its end."""
        engine.add_event_handler(Events.STARTED, lambda engine: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def __call__(self, engine: Any) -> None:
        """Note one batch."""
        output, cases = engine.state.output, list(self.values(engine, "case"))
        self.note(cases, engine.state.batch.get("group", cases), output["label"], output["pred"])

    def values(self, engine: Any, key: str) -> Any:
        """What a batch holds under `key`.

        Raises:
            DataError: the batch is decollated, or has no such key; names those it has.
        """
        batch, where = engine.state.batch, type(self).__name__
        if not isinstance(batch, Mapping):
            raise DataError("the batch is decollated", where=where, fix="give the evaluator decollate: false")
        if key not in batch:
            raise DataError(f"no key {key!r} in the batch", where=where, fix=f"keys: {', '.join(batch)}")
        return batch[key]

    def note(self, case: Iterable[str], group: Iterable[str], label: Tensor, answer: Tensor) -> None:
        """Note rows.

        Args:
            case: their names.
            group: what each is of.
            label: [N]; of findings [N, C].
            answer: of the network, [N, C].
        """
        truth: Any
        if self.activation == "sigmoid":
            truth, probability = checked_findings(label, answer.double().sigmoid())
        else:
            truth, probability = label.cpu().tolist(), answer.double().softmax(1).cpu().numpy()
        self._rows += zip(case, group, truth, probability, strict=True)

    def write(self, engine: Engine) -> None:
        """Write both files."""
        case, group, label, probability = map(list, zip(*self._rows, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            self.folder / f"{self.name}.npz",
            case=np.array(case),
            group=np.array(group),
            label=np.array(label),
            probability=np.array(probability),
        )
        with (self.folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            count = range(len(probability[0]))
            labels = [f"label_{i}" for i in count] if self.activation == "sigmoid" else ["label"]
            writer.writerow(["case", "group", *labels, *(f"probability_{i}" for i in count)])
            writer.writerows([c, g, *np.ravel(y), *(f"{v:.6f}" for v in p)] for c, g, y, p in self._rows)
