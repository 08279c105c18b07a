# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import is_scalar
from torch import nn

from monai_kd.networks.teacher import frozen_teachers
from monai_kd.networks.weights import loaded_from
from monai_kd.utils import beside, read_json, write_text
from monai_kd.utils.checksums import file_sha256

__all__ = ["ValidationScore", "validation_score"]


class ValidationScore:
    """Keep the best validation score of a network beside its weights, and warn of a teacher with too low a one.

    The score is the evaluator's key metric, of which more is better. When the run is completed it is written beside
    `path`, to a file that ends in `.score.json`, with the SHA-256 of the weights that it is of; a run that was resumed
    knows its validations since then. A teacher whose weights have such a file is judged by it, and a warning is logged:
    at the start if its score is at or below `floor`, at the end if this run reached it. Of a teacher without one, or
    with another metric, nothing is known.

    Among the trainer's handlers it stands after `FinalModelSaver`.

    Args:
        path: the weights that the run writes.
        evaluator: whose key metric is the score.
        floor: what a network that has learnt nothing gets: 1 / classes that occur in balanced accuracy, 0.5 in AUC. In
            Dice, one that marks everything gets 2 f / (1 + f), where f is the share of the foreground: 0.1 for one
            twentieth.

    Example::

        >>> import torch
        >>> from monai.engines import SupervisedEvaluator
        >>> from monai_kd.handlers import ValidationScore
        >>> evaluator = SupervisedEvaluator("cpu", [], torch.nn.Linear(4, 2))
        >>> ValidationScore("models/model.pt", evaluator, floor=0.5).file.name
        'model.score.json'
    """

    def __init__(self, path: str | os.PathLike, evaluator: Engine, floor: float) -> None:
        self.path, self.floor = Path(path), float(floor)
        self.evaluator: Any = evaluator
        self.best: float | None = None
        self.metric = ""
        self._teachers: dict[str, tuple[str, float]] = {}

    @property
    def file(self) -> Path:
        """Where the score is written."""
        return beside(self.path, ".score.json")

    def attach(self, engine: Engine) -> None:
        """Judge the teachers of `engine`, a `DistillationTrainer`, and write what it reaches."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _validated(self, engine: Any) -> None:
        self.metric = str(engine.state.key_metric_name)
        value: Any = engine.state.metrics.get(self.metric)
        if is_scalar(value) and math.isfinite(value):
            self.best = float(value) if self.best is None else max(self.best, float(value))

    def _started(self, engine: Any) -> None:
        if getattr(engine.state, "rank", 0):
            return
        scores = {name: validation_score(net) for name, net in frozen_teachers(engine.inferer.networks).items()}
        self._teachers = {name: score for name, score in scores.items() if score is not None}
        for name, (metric, value) in self._teachers.items():
            if metric == self.evaluator.state.key_metric_name and value <= self.floor:
                what = f"the teacher's best {metric} was {value:.3f}, no more than {self.floor:.3f}"
                logging.getLogger(__name__).warning("%s: %s: it has little to teach; train it better", name, what)

    def _completed(self, engine: Any) -> None:
        if getattr(engine.state, "rank", 0) or self.best is None:
            return
        for name, (metric, value) in self._teachers.items():
            if metric == self.metric and self.best >= value:
                what = f"the teacher's best {metric} was {value:.3f}, the student's is {self.best:.3f}"
                why = "it is no better than its student, who may learn as much alone"
                logging.getLogger(__name__).warning("%s: %s: %s", name, what, why)
        if self.path.is_file():
            score = {"metric": self.metric, "best": self.best, "sha256": file_sha256(self.path)}
            write_text(self.file, json.dumps(score) + "\n")


def validation_score(network: nn.Module) -> tuple[str, float] | None:
    """The metric and the best validation score of the weights that were loaded into a network, where they are known.

    Args:
        network: to which :func:`monai_kd.networks.load_weights` was applied.
    """
    path = loaded_from(network)
    if path is None or not path.is_file() or not beside(path, ".score.json").is_file():
        return None
    score = read_json(beside(path, ".score.json"))
    if score.get("sha256") != file_sha256(path):
        return None  # of other weights, which had the same name
    return str(score["metric"]), float(score["best"])
