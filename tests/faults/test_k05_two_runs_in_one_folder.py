# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A second process is kept out of a run's folder, by the living and not by the dead."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest
from ignite.engine import Engine, Events
from monai.handlers import StatsHandler

from monai_kd.handlers import Checkpoint, RunLock, run_lock
from monai_kd.utils import ConfigError
from tests.faults.children import FORK, finish, start
from tests.nets import LABEL, Classifier, batches, make_trainer


def trainer_in(folder: Path, *handlers, epochs: int = 1, **kwargs):
    own = [*handlers, Checkpoint(folder, **kwargs)]
    return make_trainer(Classifier(), {}, {"label": LABEL}, batches(1), epochs, train_handlers=own)


def train(folder: Path) -> None:
    trainer_in(folder).run()
    print("success")


def train_for_long(folder: Path, ready, worker: bool = False) -> None:
    def wait(engine: Engine) -> None:
        child = start(time.sleep, 60) if worker else None  # as a DataLoader's worker is
        ready.send(None if child is None else child.pid)
        time.sleep(60)

    trainer = trainer_in(folder)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, wait)
    trainer.run()


def begin(folder: Path, worker: bool = False):
    """A run in another process that has begun, and the process of its worker."""
    receiving, sending = FORK.Pipe(duplex=False)
    run = start(train_for_long, folder, sending, worker)
    assert receiving.poll(30)
    return run, receiving.recv()


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    folder, log = tmp_path / "out", tmp_path / "log"
    first, _ = begin(folder)
    code, told = finish(train, folder, log=log)
    assert code == 1 and "success" not in told
    holder = json.loads((folder / "run.lock").read_text())
    assert holder["pid"] == first.pid
    who = f"in use by pid {first.pid} on host {holder['host']} since {holder['since']}"
    assert f"ConfigError: {folder}: {who}. wait, stop it, or choose another --output_dir" in told
    first.kill()
    first.join()
    assert (folder / "run.lock").exists()  # what it left
    code, told = finish(train, folder, log=log)
    assert code == 0 and told.strip().endswith("success")
    assert [path.name for path in folder.iterdir()] == ["checkpoint.pt"]


def test_a_worker_that_outlives_its_killed_run_does_not_keep_the_folder(tmp_path):
    first, worker = begin(tmp_path, worker=True)
    first.kill()
    first.join()
    os.kill(worker, 0)  # it is alive
    train(tmp_path)
    os.kill(worker, 9)


def test_the_folder_can_be_taken_from_a_run_if_that_is_asked_for(tmp_path, caplog):
    first, _ = begin(tmp_path)
    lock = RunLock(tmp_path, overwrite=True)
    lock.acquire()
    assert f"taken from pid {first.pid}" in caplog.text
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    code, told = finish(train, tmp_path, log=tmp_path / "log")
    assert code == 1 and f"in use by pid {os.getpid()}" in told
    first.kill()
    first.join()
    lock.release()
    assert not lock.path.exists()


def test_trainers_of_one_process_share_the_folder_one_in_another_and_one_after_another(tmp_path):
    seen = []

    def inner(engine: Engine) -> None:
        trainer_in(tmp_path, filename="inner.pt").run()
        seen.append((tmp_path / "run.lock").exists())  # the outer one still has it

    outer = trainer_in(tmp_path, epochs=2)
    outer.add_event_handler(Events.EPOCH_COMPLETED, inner)
    outer.run()
    assert seen == [True, True] and not (tmp_path / "run.lock").exists()
    train(tmp_path)


@pytest.mark.parametrize("others", [0, 1, 2], ids=["no lock more", "a lock more", "and MONAI's handler"])
def test_a_run_that_breaks_is_still_an_error_and_frees_the_folder(tmp_path, others):
    def fail(engine: Engine) -> None:
        raise OverflowError("in the middle")

    stats = StatsHandler(output_transform=lambda output: output["loss"].item())
    handlers = [RunLock(tmp_path), stats][:others]
    trainer = trainer_in(tmp_path, *handlers[::-1])
    trainer.add_event_handler(Events.ITERATION_COMPLETED, fail)
    with pytest.raises(OverflowError, match="in the middle"):
        trainer.run()
    assert not (tmp_path / "run.lock").exists()
    assert finish(train, tmp_path, log=tmp_path / "log")[0] == 0


def test_the_folder_is_locked_until_the_last_file_is_written(tmp_path):
    locked = []
    trainer = trainer_in(tmp_path, save_interval=2)
    trainer.add_event_handler(Events.COMPLETED, lambda _: locked.append((tmp_path / "run.lock").exists()))
    trainer.run()
    assert locked == [True] and (tmp_path / "checkpoint.pt").exists()


def test_only_the_first_rank_locks(tmp_path):
    first, _ = begin(tmp_path)
    lock = RunLock(tmp_path)
    engine = Engine(lambda engine, batch: None)
    lock.attach(engine)
    engine.state.rank = 1
    engine.run([0])
    engine.state.rank = 0
    with pytest.raises(ConfigError, match="in use by pid"):
        engine.run([0], max_epochs=2)
    first.kill()
    first.join()


def test_where_nothing_can_be_locked_it_warns_and_goes_on(tmp_path, monkeypatch):
    def refuse(file):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(run_lock, "try_lock", refuse)
    with pytest.warns(UserWarning, match=r"run.lock: Function not implemented; a second run .* is not noticed"):
        train(tmp_path)
