# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import warnings
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakSet

from ignite.engine import Engine, Events

from monai_kd.utils import ConfigError
from monai_kd.utils.atomic import telling, try_lock

__all__ = ["RunLock"]


class RunLock:
    """Keep a second process out of a run's folder from the run's start until it is completed or broken off.

    The file `run.lock` says who is in it (`pid`, `host`, `since`), and is locked by the operating system, which unlocks
    it when the process ends, however it does: what a killed run leaves is taken over. The lock is the process's:
    trainers of one process, one after another or nested, share the folder. Under `torch.distributed` rank 0 locks.
    Where nothing can be locked (Windows, some network file systems) it warns and does nothing more.

    `Checkpoint` takes the lock by itself.

    Args:
        output_dir: folder of the run, made if need be.
        overwrite: take the folder from a process that is in it, with a warning; it is not stopped.

    Raises:
        ConfigError: another process is in the folder; names it.
        CheckpointWriteError: the folder cannot be written.

    Example::

        >>> import tempfile
        >>> from monai_kd.handlers import RunLock
        >>> lock = RunLock(tempfile.mkdtemp())  # among the trainer's train_handlers, or by hand
        >>> lock.acquire(); lock.path.is_file()
        True
        >>> lock.release(); lock.path.is_file()
        False
    """

    def __init__(self, output_dir: str | os.PathLike, overwrite: bool = False) -> None:
        self.path, self.overwrite = Path(output_dir) / "run.lock", overwrite

    def attach(self, engine: Engine) -> None:
        """Lock when `engine`'s run starts."""
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        if getattr(engine.state, "rank", 0) == 0:
            self.acquire()
            self.release_after(engine)

    def release_after(self, engine: Engine) -> None:
        """Unlock when the run of `engine` ends, after the other handlers that it has by now.

        Args:
            engine: whose run has started.
        """
        if not engine.has_event_handler(self._completed, Events.COMPLETED):
            engine.add_event_handler(Events.COMPLETED, self._completed)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._broken)
            handlers = engine._event_handlers[Events.EXCEPTION_RAISED]
            handlers.insert(0, handlers.pop())  # the next one may raise, and ends the list

    def _completed(self, engine: Engine) -> None:
        self.release()

    def _broken(self, engine: Engine, error: BaseException) -> None:
        self.release()
        if engine._event_handlers[Events.EXCEPTION_RAISED][-1][0] == self._broken:  # no handler but of locks
            raise error  # as ignite does where there is none

    def acquire(self) -> None:
        """Lock the folder; one that this process has locked already is shared."""
        with _guard:
            key = os.path.realpath(self.path)
            if key in _held and not _same(_held[key][0], self.path):  # removed, or taken by another process
                _held.pop(key)[0].close()
            if key not in _held:
                file = self._take()
                if file is None:
                    return
                _held[key] = file, WeakSet()
            _held[key][1].add(self)

    def release(self) -> None:
        """Unlock the folder and remove the file, if nobody else in this process is in it."""
        with _guard:
            for key, (file, users) in list(_held.items()):
                if self in users:
                    users.remove(self)
                    if not users:
                        del _held[key]
                        with suppress(OSError):  # a file that stays is not locked, and is taken over
                            if _same(file, key):
                                os.unlink(key)
                        file.close()

    def _take(self) -> BinaryIO | None:
        with telling(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                file = open(self.path, "a+b")
                try:
                    if self._locked(file):
                        content = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
                        file.truncate(0)
                        file.write(json.dumps(content).encode())
                        file.flush()
                        return file
                except _CannotLock as error:
                    warnings.warn(f"{self.path}: {error}; a second run in the folder is not noticed", stacklevel=2)
                    file.close()
                    return None
                except BaseException:
                    file.close()
                    raise
                file.close()  # removed between opening and locking: once more

    def _locked(self, file: BinaryIO) -> bool:
        try:
            locked = try_lock(file)
        except OSError as error:
            raise _CannotLock(error.strerror) from error
        if not locked:
            who = _user(file)
            if not self.overwrite:
                fix = "wait, stop it, or choose another --output_dir"
                raise ConfigError(f"in use by {who}", where=str(self.path.parent), fix=fix)
            logging.getLogger(__name__).warning(f"{self.path.parent}: taken from {who}")
            self.path.unlink(missing_ok=True)
        return locked and _same(file, self.path)


class _CannotLock(Exception):
    pass


def _user(file: BinaryIO) -> str:
    """Who holds the lock, as the file says; it may just be writing it."""
    file.seek(0)
    try:
        content = json.loads(file.read())
        return f"pid {content['pid']} on host {content['host']} since {content['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _same(file: BinaryIO, path: str | os.PathLike) -> bool:
    """Whether `path` is still the file that is open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


# what this process has locked, by the lock's file, and the RunLocks that share it
_guard = threading.RLock()
_held: dict[str, tuple[BinaryIO, WeakSet[Any]]] = {}


def _forget() -> None:
    """In a fork, as a DataLoader's worker is: the lock is the parent's alone, and must not outlive it in a child."""
    global _guard
    _guard = threading.RLock()
    for file, _ in _held.values():
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
