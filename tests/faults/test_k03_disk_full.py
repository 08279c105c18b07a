# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""On a full disk a run fails and says so, and what was saved before is as it was."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_kd.handlers import Checkpoint, FinalModelSaver
from monai_kd.utils import write_state, write_text, write_torchscript
from monai_kd.utils.errors import CheckpointWriteError
from tests.faults.children import finish, small_disk
from tests.nets import LABEL, Classifier, batches, make_trainer

resource = pytest.importorskip("resource")

WRITERS = {
    "state.pt": lambda path: write_state(path, {"weight": torch.zeros(500_000)}),
    "äöü.pt": lambda path: write_state(path, {"weight": torch.zeros(500_000)}),  # torch writes it otherwise
    "model.ts": lambda path: write_torchscript(path, nn.Linear(1000, 500)),
    "notes.txt": lambda path: write_text(path, "x" * 2_000_000),
}


def train(folder: Path, epochs: int) -> None:
    student = Classifier(width=128)
    handlers = [Checkpoint(folder, resume=True), FinalModelSaver(student, folder / "model.pt")]
    make_trainer(student, {}, {"label": LABEL}, batches(1), epochs, train_handlers=handlers).run()
    print("success")


def fill(folder: Path, left: int) -> None:
    free = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - left))


def limit(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def train_with_limit(folder: Path, epochs: int, size: int) -> None:
    limit(size)
    train(folder, epochs)


def write_with_limit(path: Path, size: int) -> None:
    limit(size)
    WRITERS[path.name](path)


def check_failed(folder: Path, code: int | None, told: str, before: bytes) -> None:
    assert code == 1 and "success" not in told
    assert "CheckpointWriteError" in told and f"{folder / 'checkpoint.pt'}: disk full: needs 0." in told
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


def test_a_run_whose_files_may_not_grow_fails_and_keeps_its_checkpoint(tmp_path):
    folder, log = tmp_path / "out", tmp_path / "log"
    train(folder, 1)
    before = (folder / "checkpoint.pt").read_bytes()
    code, told = finish(train_with_limit, folder, 3, len(before) // 2, log=log)
    check_failed(folder, code, told, before)


def test_a_run_on_a_full_disk_fails_and_keeps_its_checkpoint(tmp_path):
    folder, log = tmp_path / "out", tmp_path / "log"
    with small_disk(folder) as mounted:
        if not mounted:
            pytest.skip("no right to mount a small disk")
        train(folder, 1)
        before = (folder / "checkpoint.pt").read_bytes()
        fill(folder, left=(1 << 17) + 8192)
        code, told = finish(train, folder, 3, log=log)
        check_failed(folder, code, told, before)
        assert "No space left on device" in told and "MB free" in told
        (folder / "filler").unlink()
        fill(folder, left=0)
        code, told = finish(train, folder, 3, log=log)  # before the first epoch
        assert code == 1 and f"{folder}: disk full" in told


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_says_that_the_disk_is_full(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"before")
    code, told = finish(write_with_limit, path, 1 << 20, log=tmp_path / "log")
    assert code == 1 and f"{name}: disk full: needs 2." in told
    assert path.read_bytes() == b"before" and sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "log"])


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_says_that_a_quota_is_spent(tmp_path, monkeypatch, name):
    def refuse(file):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CheckpointWriteError, match=rf"{name}: disk full: needs 2.* MB free. Disk quota exceeded"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_torch_stays_what_it_is(tmp_path, monkeypatch):
    def fail(state, path):
        raise RuntimeError("not of the disk")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="not of the disk"):
        write_state(tmp_path / "state.pt", {})
    assert list(tmp_path.iterdir()) == []
