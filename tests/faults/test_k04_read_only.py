# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder that cannot be written ends a run before its first epoch."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from monai_kd.handlers import Checkpoint
from monai_kd.utils import atomic
from monai_kd.utils.errors import CheckpointWriteError
from tests.faults.children import finish, small_disk
from tests.nets import LABEL, Classifier, batches, make_trainer


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """A folder on a read-only disk; without the right to mount one, a folder in which no file can be opened."""

    def refuse(path, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with small_disk(tmp_path / "disk") as mounted:
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        else:
            monkeypatch.setattr(atomic, "open", refuse, raising=False)
        yield tmp_path / "disk"


def iterations(folder: Path, **kwargs) -> tuple[str, int]:
    """The error of a run in `folder`, and how far the run came."""
    handlers = [Checkpoint(folder, **kwargs)]
    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(1), train_handlers=handlers)
    with pytest.raises(CheckpointWriteError) as caught:
        trainer.run()
    return str(caught.value), trainer.state.iteration


@pytest.mark.parametrize("lock", [True, False])
def test_a_read_only_folder_is_named_before_the_first_epoch(read_only, lock):
    told, done = iterations(read_only, lock=lock)
    assert told.startswith(f"{read_only}: read-only") and "choose a folder" in told and done == 0


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").touch()
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        told, done = iterations(folder)
        assert told.startswith(f"{folder}: cannot be written") and done == 0


def as_nobody(folder: Path) -> None:
    if os.getuid() == 0:
        os.setuid(65534)  # root may write anywhere
    iterations_told, done = iterations(folder)
    print(iterations_told, done)


def test_a_folder_without_permission_is_named(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir(mode=0o555)
    code, told = finish(as_nobody, folder, log=tmp_path / "log")
    assert code == 0 and f"{folder}: no permission" in told and told.strip().endswith(" 0")


def test_an_existing_folder_is_left_as_it_was_and_a_missing_one_is_made(tmp_path):
    for folder in (tmp_path, tmp_path / "a" / "b"):
        atomic.probe_folder(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b"]
