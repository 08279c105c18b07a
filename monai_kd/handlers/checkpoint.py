# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.metrics import Metric
from torch import Tensor, nn

from monai_kd.handlers.begun_with import begun_with
from monai_kd.handlers.random_state import random_states, set_random_states
from monai_kd.handlers.run_lock import RunLock
from monai_kd.networks.origin import differing
from monai_kd.utils import CheckpointError, ConfigError, check_finite, read_state, unwrap, write_state
from monai_kd.utils.atomic import probe_folder

__all__ = ["Checkpoint", "checkpoints_of"]


class Checkpoint:
    """Save everything a run needs to go on, and nothing of a frozen teacher; collected from the trainer by itself.

    The file holds `network` (the plain student), `optimizer`, `trainer` (epoch, iteration), `scaler`, `passes`
    (networks of passes that learn or remember), `objective` (term weights), `handlers` (every handler with a state:
    `EMA` with its teacher, `Snapshot`, learning-rate schedulers), `random` (states of torch's, numpy's and Python's
    generators and of the data set's random transforms; a list, by rank, of several processes) and `begun_with`
    (`origin`, learning rates, weight decays and the SHA-256 of teachers that were read from files), only tensors,
    numbers and texts, so it loads with `weights_only=True`. It is written beside, then renamed, and the one before is
    kept as `checkpoint.previous.pt`: whenever the run is killed, one of them is whole. The published student is another
    file: `FinalModelSaver` writes `models/model.pt`. Before the first epoch a small file is written to the folder and
    removed, and the folder is locked (:class:`RunLock`). Under `torch.distributed` every process has the handler, and
    rank 0 writes.

    Args:
        save_dir: folder, made if need be.
        filename: name of the file.
        save_interval: epochs between writings; the run's last epoch is always written.
        resume: go on from the file if it is there, when the run starts; from the one before if it cannot be read.
        keep_previous: keep the file before.
        lock: keep a second process out of the folder while the run lasts.
        origin: which training this is, such as `{"recipe": "kd", "seed": 0}`; one of another is not gone on from.

    Raises:
        CheckpointError: the file to resume from does not fit this trainer, or is of a run that was begun with another
            origin, teacher, learning rate or weight decay; names the part.
        CheckpointWriteError: the disk is full, read-only, or refuses for another reason; what was there is as it was.
        ConfigError: another process runs in the folder; names it. Or `save_interval` is less than 1.
        NonFiniteError: some weights are nan or infinite; nothing is written.

    Example::

        >>> from monai_kd.handlers import Checkpoint
        >>> handler = Checkpoint("output", save_interval=5, resume=True)  # among the trainer's train_handlers
        >>> str(handler.path)
        'output/checkpoint.pt'
    """

    def __init__(
        self,
        save_dir: str | os.PathLike,
        filename: str = "checkpoint.pt",
        save_interval: int = 1,
        resume: bool = False,
        keep_previous: bool = True,
        lock: bool = True,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        if save_interval < 1:
            raise ConfigError(f"must be 1 or more epochs, got {save_interval}", where="save_interval")
        self.path = Path(save_dir) / filename
        self.previous = self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")
        self.save_interval, self.resume, self.keep_previous = save_interval, resume, keep_previous
        self.lock = RunLock(save_dir) if lock else None
        self.origin = origin
        self._begun: dict[str, Any] = {}
        self.newest: Path | None = None  # what this run has read or written last

    def attach(self, engine: Any) -> None:
        """Take part in `engine`'s run: load when it starts, save after the other handlers of an epoch's end."""
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Any) -> None:
        if engine.state.rank == 0:
            probe_folder(self.path.parent)
            if self.lock is not None:
                self.lock.acquire()
        # here, not in attach: the handler runs last at the epoch's end, so that no later one draws random numbers
        first = not engine.has_event_handler(self.save, Events.EPOCH_COMPLETED)
        if first:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.save_interval), self.save)
            engine.add_event_handler(Events.COMPLETED, self._last)
        if self.lock is not None and engine.state.rank == 0:
            self.lock.release_after(engine)
        self.go_on(engine)
        self._begun = self._begun or begun_with(engine, self.origin)

    def go_on(self, engine: Any) -> None:
        """Load the file if the run is to go on from it and has not yet; done by itself when the run starts."""
        if self.resume and self.newest is None and (self.path.is_file() or self.previous.is_file()):
            self.load(engine)

    def _last(self, engine: Any) -> None:
        if engine.state.epoch % self.save_interval:  # else it is written already
            self.save(engine)

    def save(self, engine: Any) -> None:
        """Write the state of `engine` now; every process must call it, rank 0 writes."""
        random = random_states(engine.data_loader)
        if engine.state.rank:
            self.newest = self.path  # written by rank 0: a later turn of this run does not resume
            return
        parts = self._parts(engine)
        state = {name: part.state_dict() for name, part in parts.items()}
        check_finite(state["network"], f"{self.path}, network")
        for name, part in parts.items():
            if name.startswith("passes."):  # of these the parameters: a memory may mark with nan what it has not seen
                check_finite(dict(part.named_parameters()), f"{self.path}, {name}")
        previous = self.previous if self.keep_previous and self.newest == self.path else None
        write_state(self.path, {**_nested(state), "random": random, "begun_with": self._begun}, previous)
        if self.newest is None or not self.keep_previous:
            self.previous.unlink(missing_ok=True)  # of another run
        self.newest = self.path

    def load(self, engine: Any) -> None:
        """Put the state of the file into `engine`; of the one before, with a warning, if the file cannot be read."""
        path, state, why = self._read()
        parts, epochs = self._parts(engine), engine.state.max_epochs
        self._begun = begun_with(engine, self.origin)
        told = differing(state.get("begun_with", {}), self._begun)
        if told:
            fix = "ask for the same, start anew with resume=False, or choose another output_dir"
            raise CheckpointError(f"is of a run that was begun with {told}", where=str(path), fix=fix)
        saved = {k: v for k, v in _flat(state).items() if k not in ("random", "begun_with")}
        if saved.keys() != parts.keys():
            names = sorted(saved.keys() ^ parts.keys())
            raise CheckpointError(
                f"the run has other parts than the one that was saved: {', '.join(names)}",
                where=str(path),
                fix="resume with the configuration that wrote the file",
            )
        for name, part in parts.items():
            try:
                part.load_state_dict(saved[name])
            except (RuntimeError, ValueError, KeyError) as error:
                raise CheckpointError(f"cannot load: {error}", where=f"{path}, {name}") from error
        if epochs < engine.state.epoch:
            raise CheckpointError(
                f"{engine.state.epoch} epochs are done and max_epochs is {epochs}",
                where=str(path),
                fix="raise max_epochs, or start anew with resume=False",
            )
        engine.state.max_epochs = epochs  # what the run asks for, not what the saved one did
        try:
            told = set_random_states(state["random"], engine.data_loader)
        except CheckpointError as error:
            raise error.at(str(path)) from None
        self.newest = path
        if told:
            engine.logger.warning(f"{path}: {told}")
        if why is None:
            engine.logger.info(f"resumes from {path}, epoch {engine.state.epoch}")
        else:
            engine.logger.warning(f"{why}. Resumes from the one before, {path}, epoch {engine.state.epoch}")

    def _read(self) -> tuple[Path, dict[str, Any], CheckpointError | None]:
        """What can be read of the file and the one before, and why not the file."""
        try:
            return self.path, read_state(self.path), None
        except CheckpointError as error:
            if not self.previous.is_file():
                raise
            try:
                return self.previous, read_state(self.previous), error
            except CheckpointError:
                raise error.at(str(self.previous)) from error

    def _parts(self, engine: Any) -> dict[str, Any]:
        """Everything with a state, by the path it has in the file."""
        parts: dict[str, Any] = {
            "network": unwrap(engine.network),
            "optimizer": engine.optimizer,
            "trainer": engine,
            "objective": engine.loss_function,
        }
        if engine.scaler is not None:
            parts["scaler"] = engine.scaler
        for name, network in engine.inferer.networks.items():
            if unwrap(network).state_dict():
                parts[f"passes.{name}"] = unwrap(network)
        for name, handler in _stateful_handlers(engine).items():
            parts[f"handlers.{name}"] = handler
        return parts


def checkpoints_of(engine: Engine) -> list[Checkpoint]:
    """The `Checkpoint`s that are attached to `engine`.

    Args:
        engine: of any kind.

    Example::

        >>> from ignite.engine import Engine
        >>> from monai_kd.handlers.checkpoint import Checkpoint, checkpoints_of
        >>> engine, handler = Engine(lambda engine, batch: None), Checkpoint("output")
        >>> handler.attach(engine)
        >>> checkpoints_of(engine) == [handler]
        True
    """
    owners = (getattr(function, "__self__", None) for function, *_ in engine._event_handlers[Events.STARTED])
    return [owner for owner in owners if isinstance(owner, Checkpoint)]


def _stateful_handlers(engine: Any) -> dict[str, Any]:
    """Objects attached to `engine` that have a state, numbered within their class in the order of attachment."""
    owners: dict[int, Any] = {}
    for registered in engine._event_handlers.values():
        for function, *_ in registered:
            wrapped = getattr(function, "_parent", None)  # ignite wraps a handler of every k-th event
            owner = getattr(function if wrapped is None else wrapped(), "__self__", function)
            owner = getattr(owner, "lr_scheduler", owner)  # MONAI's LrScheduleHandler
            if (
                hasattr(owner, "state_dict")
                and hasattr(owner, "load_state_dict")
                and not isinstance(owner, (Engine, nn.Module, Metric))
            ):
                owners[id(owner)] = owner
    named: dict[str, Any] = {}
    for owner in owners.values():
        kind = type(owner).__name__
        if not _is_plain(owner.state_dict()):
            engine.logger.warning(f"Checkpoint leaves out {kind}: its state is more than tensors and plain values")
            continue
        named[f"{kind}_{sum(k.startswith(kind + '_') for k in named)}"] = owner
    return named


def _is_plain(value: Any) -> bool:
    """Whether `torch.load(weights_only=True)` would read it: enumerations and numpy's numbers are refused."""
    if type(value) in (dict, OrderedDict):
        return all(_is_plain(k) and _is_plain(v) for k, v in value.items())
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, Tensor) or type(value) in (str, int, float, bool, type(None))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, state in flat.items():
        head, _, tail = path.partition(".")
        if tail:
            nested.setdefault(head, {})[tail] = state
        else:
            nested[head] = state
    return nested


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    groups = {k: nested.get(k, {}) for k in ("passes", "handlers")}
    flat = {k: v for k, v in nested.items() if k not in groups}
    return flat | {f"{group}.{k}": v for group, states in groups.items() for k, v in states.items()}
