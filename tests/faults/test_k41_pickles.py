# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K41: a file that runs code when it is unpickled is refused, wherever it is read, and the code is not run."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import NumpyReader
from torch import nn

from monai_kd.commands.check_bundle import check_bundle, findings
from monai_kd.handlers import Checkpoint
from monai_kd.networks import load_weights
from monai_kd.utils import CheckpointError, read_state
from tests.nets import LABEL, Classifier, batches, make_trainer


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    """The folder that a payload makes; it must not be there at the end."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def by_torch(path: Path, marker: Path) -> None:
    torch.save({"weight": torch.ones(1), "extra": Payload(marker)}, path)


def by_the_old_torch(path: Path, marker: Path) -> None:
    torch.save({"weight": Payload(marker)}, path, _use_new_zipfile_serialization=False)


def by_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": Payload(marker)}))


def by_pickle_in_a_zip(path: Path, marker: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(marker)))
        archive.writestr("archive/version", "3")


writers = pytest.mark.parametrize("write", [by_torch, by_the_old_torch, by_pickle, by_pickle_in_a_zip])


def test_the_payload_is_one(tmp_path):
    by_pickle(tmp_path / "model.pt", tmp_path / "made")
    pickle.loads((tmp_path / "model.pt").read_bytes())
    assert (tmp_path / "made").is_dir()


@writers
@pytest.mark.parametrize("read", [read_state, lambda path: load_weights(nn.Linear(1, 1), path)])
def test_weights(tmp_path, marker, write, read):
    write(tmp_path / "model.pt", marker)
    with pytest.raises(CheckpointError, match=r"model\.pt") as caught:
        read(tmp_path / "model.pt")
    assert "weights_only" not in str(caught.value)


@writers
def test_resuming(tmp_path, marker, write):
    write(tmp_path / "checkpoint.pt", marker)
    trainer = make_trainer(
        Classifier(), {}, {"label": LABEL}, batches(1), 1, train_handlers=[Checkpoint(tmp_path, resume=True)]
    )
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt") as caught:
        trainer.run()
    assert "weights_only" not in str(caught.value)


@writers
def test_weights_of_a_bundle(tmp_path, marker, write):
    (tmp_path / "models").mkdir()
    write(tmp_path / "models" / "model.pt", marker)
    text, status = check_bundle(tmp_path)
    assert status == 1 and "models/model.pt" in text and "weights_only" not in text


def write_objects(path: Path, marker: Path) -> None:
    array = np.array([Payload(marker)], dtype=object)
    np.save(path, array) if path.suffix == ".npy" else np.savez(path, array)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_arrays_with_objects(tmp_path, marker, name):
    write_objects(tmp_path / name, marker)
    assert [(f.level, f.file) for f in findings(tmp_path)] == [("error", name)]
    with pytest.raises(ValueError, match="allow_pickle"):
        NumpyReader().read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.PKL", "a.joblib", "a.pt2", "a.so", "a.pyc"])
def test_what_is_never_data(tmp_path, marker, name):
    by_pickle(tmp_path / name, marker)
    assert check_bundle(tmp_path)[1] == 1


def test_plain_files_are_no_errors(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pt")
    np.save(tmp_path / "a.npy", np.ones(3))
    np.savez_compressed(tmp_path / "a.npz", x=np.ones(3), y=np.array(["text"]))
    assert findings(tmp_path) == []


def test_torchscript_is_told_from_weights(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), str(tmp_path / "model.pt"))
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.ts")
    assert [(f.level, f.file) for f in findings(tmp_path)] == [("note", "model.pt"), ("error", "model.ts")]


@pytest.mark.parametrize(
    ("checksum", "levels"),
    [
        (None, ["warning"]),
        ("0" * 64, ["error"]),
        ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  model.safetensors", []),
    ],
)
def test_checksum_of_safetensors(tmp_path, checksum, levels):
    (tmp_path / "model.safetensors").write_bytes(b"abc")
    if checksum:
        (tmp_path / "model.safetensors.sha256").write_text(checksum)
    assert [f.level for f in findings(tmp_path)] == levels


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("name", ["a.pt", "a.npy", "a.npz", "a.ts"])
def test_a_broken_file_breaks_no_check(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert all(f.file == name for f in findings(tmp_path))
