# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from monai_kd.networks.origin import taught_by, write_origin
from monai_kd.utils import beside, check_finite, read_json, unwrap, write_state, write_text, write_torchscript
from monai_kd.utils.atomic import probe_folder

__all__ = ["FinalModelSaver"]


class FinalModelSaver:
    """Write the weights of a network when its run is completed, early stopping included, and at no other time.

    MONAI's `CheckpointSaver(save_final=True)` also writes when the run breaks, so that a half-trained network, or one
    of weights that are no numbers, replaces the one that was there. Here an aborted run leaves the file as it was. The
    file has the plain network's keys, whatever it is wrapped in; it is written beside and then renamed, by rank 0.

    Args:
        network: what is published, as a rule the student.
        path: the file; its folder is made if need be.
        torchscript: a second file, of the network itself in TorchScript, in eval mode on the CPU: for a network that is
            no class of MONAI's, so that it runs where monai_kd is not installed. None writes none.
        cases: names of what the network was trained on, for a file beside `path` that ends in `.cases.json`; see
            :func:`monai_kd.data.check_unseen`. None writes none. While the weights are replaced it also has the names
            of the ones before, so that, wherever a run is killed, no case of the weights that are there is missing.
        origin: which training this is, such as `{"recipe": "kd", "seed": 0}`, for a file beside `path` that ends in
            `.origin.json`; see :func:`monai_kd.networks.check_origin`. It also has the SHA-256 of the teachers' files.
            None writes none.

    Raises:
        CheckpointWriteError: the folder cannot be written to: told before the run.
        NonFiniteError: some weights are nan or infinite; nothing is written.

    Example::

        >>> import torch
        >>> from monai_kd.handlers import FinalModelSaver
        >>> handler = FinalModelSaver(torch.nn.Linear(4, 2), "models/model.pt")  # among the trainer's train_handlers
        >>> str(handler.path)
        'models/model.pt'
    """

    def __init__(
        self,
        network: nn.Module,
        path: str | os.PathLike,
        torchscript: str | os.PathLike | None = None,
        cases: Sequence[str] | None = None,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.path, self.cases, self.origin = network, Path(path), cases, origin
        self._teachers: list[str] = []
        self.torchscript = None if torchscript is None else Path(torchscript)

    def attach(self, engine: Engine) -> None:
        """Write after `engine`'s run; see before it that the folder can be written to."""
        engine.add_event_handler(Events.STARTED, self._probe)
        engine.add_event_handler(Events.COMPLETED, self)

    def _probe(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            probe_folder(self.path.parent)
            if self.origin is not None and hasattr(engine, "inferer"):  # now: the files may be others at the end
                self._teachers = sorted(set(taught_by(engine.inferer.networks).values()))

    def __call__(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            network = unwrap(self.network)
            check_finite(network.state_dict(), str(self.path))
            if self.cases is not None:
                self._write_cases({*self.cases, *self._cases_before()})
            write_state(self.path, network.state_dict())
            if self.origin is not None:
                write_origin(self.path, {**self.origin, **({"teachers": self._teachers} if self._teachers else {})})
            if self.torchscript is not None:
                write_torchscript(self.torchscript, network)
            if self.cases is not None:
                self._write_cases(self.cases)

    @property
    def _record(self) -> Path:
        return beside(self.path, ".cases.json")

    def _cases_before(self) -> list[str]:
        return read_json(self._record)["cases"] if self._record.is_file() else []

    def _write_cases(self, cases: Iterable[str]) -> None:
        write_text(self._record, json.dumps({"cases": sorted(cases)}) + "\n")
