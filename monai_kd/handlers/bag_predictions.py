# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from typing import Any

from monai_kd.handlers.predictions import Predictions
from monai_kd.utils import DataError

__all__ = ["BagPredictions"]


class BagPredictions(Predictions):
    """Write what an evaluator's network says of whole bags to `bags.npz` and `bags.csv`, a row a bag.

    The files are those of `Predictions`: `case` and `group` are the name of the bag, the `group` of its first instance;
    `label` is the bag's, [B], and `probability` the softmax of the answer, [B, C]. Batches are as `collate_bags` gives
    them, with `bag`, `group` and `bag_label`; the evaluator is not decollated.

    Args:
        output_dir: folder of the two files, made if need be.
        pred: key of the answer in the evaluator's output, [B, C].

    Raises:
        DataError: the batch is decollated, lacks one of the keys, or a bag is in two batches.

    Example::

        >>> from monai_kd.handlers import BagPredictions
        >>> handler = BagPredictions("output", pred="bag")  # among the val_handlers of a `DistillationEvaluator`
        >>> handler.name
        'bags'
    """

    name = "bags"

    def __init__(self, output_dir: str | os.PathLike, pred: str = "bag_pred") -> None:
        super().__init__(output_dir)
        self.pred = pred

    def __call__(self, engine: Any) -> None:
        """Note the bags of one batch."""
        bag, group, label = (self.values(engine, key) for key in ("bag", "group", "bag_label"))
        first = dict(reversed([*zip(bag.tolist(), group, strict=True)]))  # the first of each comes last
        names = [first[b] for b in range(len(label))]
        if again := {case for case, *_ in self._rows} & {*names}:
            raise DataError("is in two batches", where=f"bag {min(again)!r}", fix="load whole bags: BagDataset")
        self.note(names, names, label, engine.state.output[self.pred])
