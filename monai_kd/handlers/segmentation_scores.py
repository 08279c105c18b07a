# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.metrics import compute_dice, compute_hausdorff_distance
from torch import Tensor

from monai_kd.utils import DataError

__all__ = ["SegmentationScores", "scores_of"]


def scores_of(pred: Tensor, label: Tensor, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Dice and the 95th percentile of the Hausdorff distance of each structure of one case: [S] and [S].

    A structure that is neither there nor found has Dice 1 and distance 0; one that is there and not found, or found and
    not there, has Dice 0 and the length of the image's diagonal, the worst that can be: to leave it out would be a gift
    to the network that misses it.

    Args:
        pred: one-hot, [1 + S, *spatial], background first.
        label: the same.
        spacing: of the places, in the unit of the distance, as a rule millimetres.

    Example::

        >>> import torch
        >>> from monai_kd.handlers.segmentation_scores import scores_of
        >>> label = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1, 0]] * 4), 2).permute(2, 0, 1)
        >>> scores_of(label.roll(1, dims=2), label, (1.0, 1.0))
        (array([0.5]), array([1.]))
    """
    p, y = pred[None].cpu(), label[None].cpu()
    here, found = (x[0, 1:].flatten(1).any(1).numpy() for x in (y, p))
    dice = compute_dice(p, y, include_background=False, ignore_empty=False)[0].double().numpy()
    distance = np.where(here == found, 0.0, math.hypot(*(n * s for n, s in zip(p.shape[2:], spacing, strict=True))))
    both = here & found
    if both.any():
        keep = [0, *(np.flatnonzero(both) + 1)]
        hd = compute_hausdorff_distance(p[:, keep], y[:, keep], percentile=95, spacing=list(spacing))
        distance[both] = hd[0].double().numpy()
    return dice, distance


class SegmentationScores:
    """Write Dice and HD95 of each case and structure to `scores.npz`, which a report reads, and `scores.csv`.

    Arrays: `case` [N] and `group` [N], text; `structures` [S], text; `dice` and `hd95` [N, S], see `scores_of`; `unit`,
    that of `hd95`. The evaluator is decollated, its outputs `pred` and `label` are one-hot, its items have the key
    `case`.

    Args:
        output_dir: folder of the two files, made if need be.
        structures: names of the classes without the background, S.
        spacing: of the places of the validated images.
        unit: of the spacing; say `px` where it is not known and 1.

    Raises:
        DataError: the batch is not decollated, has no `case`, or other classes than `structures`.

    Example::

        >>> from monai_kd.handlers import SegmentationScores
        >>> handler = SegmentationScores("output", ["anterior", "posterior"], (1, 1, 1))  # among the val_handlers
    """

    def __init__(
        self, output_dir: str | os.PathLike, structures: Sequence[str], spacing: Sequence[float], unit: str = "mm"
    ) -> None:
        self.folder, self.structures, self.spacing, self.unit = Path(output_dir), list(structures), list(spacing), unit
        self._rows: list[tuple[str, str, np.ndarray, np.ndarray]] = []

    def attach(self, engine: Engine) -> None:
        """Note every case of `engine`, write at its end."""
        engine.add_event_handler(Events.STARTED, lambda engine: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def __call__(self, engine: Engine) -> None:
        """Note the cases of one batch."""
        items, outputs = engine.state.batch, engine.state.output
        if not isinstance(items, list) or not isinstance(outputs, list):
            raise DataError("the batch is one", where="SegmentationScores", fix="leave the evaluator's decollate: true")
        for item, output in zip(items, outputs, strict=True):
            if "case" not in item:
                fix = f"keys: {', '.join(map(str, item))}"
                raise DataError("no key 'case' in the item", where="SegmentationScores", fix=fix)
            pred, label = (torch.as_tensor(output[key]).bool() for key in ("pred", "label"))
            if len(pred) != 1 + len(self.structures) or pred.shape != label.shape:
                what = f"prediction {tuple(pred.shape)}, label {tuple(label.shape)}"
                fix = f"both one-hot, background and {', '.join(self.structures)}"
                raise DataError(what, where=f"SegmentationScores, case {item['case']!r}", fix=fix)
            case = str(item["case"])
            self._rows.append((case, str(item.get("group", case)), *scores_of(pred, label, self.spacing)))

    def write(self, engine: Engine) -> None:
        """Write both files."""
        case, group, dice, hd95 = map(list, zip(*self._rows, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            self.folder / "scores.npz",
            case=np.array(case),
            group=np.array(group),
            structures=np.array(self.structures),
            dice=np.array(dice),
            hd95=np.array(hd95),
            unit=np.array(self.unit),
        )
        columns = [f"{metric}_{name}" for metric in ("dice", "hd95") for name in self.structures]
        with (self.folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["case", "group", *columns])
            writer.writerows([c, g, *(f"{v:.6f}" for v in (*d, *h))] for c, g, d, h in self._rows)
