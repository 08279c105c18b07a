# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import csv
import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from monai_kd.utils.errors import DataError

__all__ = ["History", "Predictions", "train_seconds", "typed_command", "write_run"]


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class History:
    """Write what a trainer and its evaluator measured, epoch by epoch, to `history.csv`: a report's learning curves.

    Columns: `epoch`; the trainer's metrics by name (with `TermLogger`: every term, unweighted); and, in the epochs that
    were validated, the evaluator's. When the run ends, `training.json` beside it says how long it took. Among the
    trainer's handlers it stands after `ValidationHandler`.

    Args:
        output_dir: folder of the two files, made if need be.
        evaluator: whose metrics to note, if there is one.

    Example::

        >>> import tempfile
        >>> from ignite.engine import Engine
        >>> from monai_kd.data import History
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
            lines = [names, *([row.get(name, "") for name in names] for row in self.rows)]
            _replace(self.folder / "history.csv", "".join(",".join(map(str, line)) + "\n" for line in lines))

    def _completed(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            spent = {"epochs": engine.state.epoch, "seconds": round(self.seconds, 3)}
            _replace(self.folder / "training.json", json.dumps(spent) + "\n")

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


class Predictions:
    """Write an evaluator's class probabilities to `predictions.npz`, which a report reads, and `predictions.csv`.

    Arrays: `case` [N] and `group` [N], text; `label` [N]; `probability` [N, C], the softmax of the network's answer.
    The batch has the keys `case` and `group`; the evaluator is not decollated.

    Args:
        output_dir: folder of the two files, made if need be.

    Raises:
        DataError: the batch is decollated, or has no `case`.

    Example::

        >>> from monai_kd.data import Predictions
        >>> handler = Predictions("output")  # among the evaluator's val_handlers
    """

    def __init__(self, output_dir: str | os.PathLike) -> None:
        self.folder = Path(output_dir)
        self._rows: list[tuple[str, str, int, np.ndarray]] = []

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
        probability = output["pred"].double().softmax(1).cpu().numpy()
        label = output["label"].cpu().tolist()
        cases = list(batch["case"])
        self._rows += zip(cases, batch.get("group", cases), label, probability, strict=True)

    def write(self, engine: Engine) -> None:
        """Write both files."""
        case, group, label, probability = map(list, zip(*self._rows, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {"case": case, "group": group, "label": label, "probability": probability}
        np.savez(self.folder / "predictions.npz", **{k: np.array(v) for k, v in arrays.items()})
        with (self.folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["case", "group", "label", *(f"probability_{i}" for i in range(len(probability[0])))])
            writer.writerows([c, g, y, *(f"{v:.6f}" for v in p)] for c, g, y, p in self._rows)


def train_seconds(output_dir: str | os.PathLike) -> float | None:
    """Return how long the training took that `History` watched; None if there is no record of it.

    Args:
        output_dir: folder of its `training.json`.
    """
    path = Path(output_dir) / "training.json"
    return float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.is_file() else None


def typed_command() -> str:
    """Return what was typed to start this process, as one could type it again in the same folder."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":  # python -m package
        package = ".".join(program.parent.parts[-2 if program.parent.parent.name == "monai" else -1 :])
        return shlex.join(["python", "-m", package, *sys.argv[1:]])
    return shlex.join([program.name, *sys.argv[1:]])


def write_run(output_dir: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Write `run.json`, which says what the files beside it are of.

    Args:
        output_dir: folder of the file, made if need be.
        content: what a report asks for: role, recipe, seed, title, setting, command, data, split, parameters, flops,
            latency_ms, file_bytes, train_seconds; perhaps classes and environment.

    Example::

        >>> import tempfile
        >>> from monai_kd.data import write_run
        >>> write_run(tempfile.mkdtemp(), {"role": "alone", "seed": 0}).name
        'run.json'
    """
    path = Path(output_dir) / "run.json"
    _replace(path, json.dumps(dict(content), indent=2) + "\n")
    return path
