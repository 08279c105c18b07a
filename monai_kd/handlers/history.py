# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from monai_kd.utils import write_text

__all__ = ["History"]

_PROCESS = uuid.uuid4().hex  # tells the stages of one run from what an earlier one left in the folder


class History:
    """Write what a trainer and its evaluator measured, epoch by epoch, to `history.csv`: a report's learning curves.

    Columns: `epoch`; the trainer's metrics by name (with `TermLogger`: every term, unweighted); and, in the epochs that
    were validated, the evaluator's. When the run ends, `training.json` beside it says how long its epochs took. Among
    the trainer's handlers it stands after `ValidationHandler`. A run of several trainers has one for each: the other
    stages' in folders of their own within the folder of the main one, whose time `train_seconds` adds.

    Args:
        output_dir: folder of the two files, made if need be.
        evaluator: whose metrics to note, if there is one.

    Example::

        >>> import tempfile
        >>> from ignite.engine import Engine
        >>> from monai_kd.handlers import History
        >>> folder, trainer = tempfile.mkdtemp(), Engine(lambda engine, batch: None)
        >>> History(folder).attach(trainer)
        >>> _ = trainer.run([0], max_epochs=2)
        >>> open(folder + "/history.csv").read().split()
        ['epoch', '1', '2']
    """

    def __init__(self, output_dir: str | os.PathLike, evaluator: Engine | None = None) -> None:
        self.folder = Path(output_dir)
        self.evaluator = evaluator
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._validated: dict[str, float] = {}
        self._last = 0.0

    def attach(self, engine: Engine) -> None:
        """Note every epoch of `engine`."""
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._validation)

    def _started(self, engine: Engine) -> None:
        self._last = time.perf_counter()

    def _validation(self, engine: Engine) -> None:
        self._validated = _numbers(engine.state.metrics)

    def __call__(self, engine: Engine) -> None:
        """Add the epoch that `engine` has just finished, and write the file."""
        now = time.perf_counter()
        self.seconds, self._last = self.seconds + now - self._last, now
        own = {k: v for k, v in _numbers(engine.state.metrics).items() if not k.endswith("_weighted")}
        self.rows.append({"epoch": engine.state.epoch, **own, **self._validated})
        self._validated = {}
        if getattr(engine.state, "rank", 0) == 0:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            lines = [names, *([str(row.get(name, "")) for name in names] for row in self.rows)]
            write_text(self.folder / "history.csv", "".join(",".join(line) + "\n" for line in lines))

    def _completed(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            spent = {"epochs": engine.state.epoch, "seconds": round(self.seconds, 3), "process": _PROCESS}
            write_text(self.folder / "training.json", json.dumps(spent) + "\n")

    def state_dict(self) -> dict[str, Any]:
        """The rows, so that a run that is resumed goes on with its file."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the rows."""
        self.rows, self.seconds = [dict(row) for row in state["rows"]], float(state["seconds"])


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those metrics that are one number."""
    single = {k: v for k, v in metrics.items() if isinstance(v, (int, float, np.number)) or getattr(v, "ndim", 1) == 0}
    return {str(k): float(v) for k, v in single.items()}
