# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.utils import CheckpointError, read_state, write_state
from monai_kd.utils.checksums import file_sha256, sum_beside, write_sums


def test_reads_what_was_written(tmp_path):
    torch.save({"weight": torch.arange(3), "epoch": 2, "parts": [1.5, "a"]}, tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt")
    assert state["weight"].tolist() == [0, 1, 2] and state["epoch"] == 2 and state["parts"] == [1.5, "a"]


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "state.pt", tmp_path):
        with pytest.raises(CheckpointError, match=f"{path}: no such file"):
            read_state(path)


@pytest.mark.parametrize("content", [b"", b"half", b"no weights", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_what_cannot_be_read_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state.pt: cannot be read.*write it again"):
        read_state(tmp_path / "state.pt")


def test_a_file_cut_short_is_named(tmp_path):
    torch.save({"weight": torch.randn(5000)}, tmp_path / "state.pt")
    whole = (tmp_path / "state.pt").read_bytes()
    for length in (len(whole) // 2, len(whole) - 10):
        (tmp_path / "state.pt").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"state.pt: cannot be read"):
            read_state(tmp_path / "state.pt")


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("executed",)

    for content in (nn.Linear(2, 2), {"weight": Trap()}):
        torch.save(content, tmp_path / "state.pt")
        with pytest.raises(CheckpointError, match=r"state.pt: cannot be read"):
            read_state(tmp_path / "state.pt")


@pytest.mark.parametrize("content", [torch.zeros(2), [1, 2], 3])
def test_what_is_no_mapping_is_named(tmp_path, content):
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=f"state.pt: holds a {type(content).__name__}"):
        read_state(tmp_path / "state.pt")


def test_safetensors_are_written_with_their_checksum_and_read_to_the_last_bit(tmp_path):
    shared = torch.randn(3, 4)
    state = {"a": shared, "b": shared, "turned": shared.T, "half": shared.half(), "count": torch.tensor(7)}
    write_state(tmp_path / "model.safetensors", state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "model.safetensors.sha256"]
    read = read_state(tmp_path / "model.safetensors")
    assert read.keys() == state.keys()
    assert all(read[k].dtype == v.dtype and read[k].equal(v) for k, v in state.items())


def test_safetensors_hold_tensors_only(tmp_path):
    with pytest.raises(CheckpointError, match=r"model.safetensors: 'epoch' is a int, and safetensors holds tensors"):
        write_state(tmp_path / "model.safetensors", {"weight": torch.ones(1), "epoch": 3})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_safetensors_is_named_though_its_checksum_fits(tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save({"weight": torch.ones(1)}, path)
    write_sums(sum_beside(path), {path.name: file_sha256(path)})
    with pytest.raises(CheckpointError, match=r"model.safetensors: cannot be read.*write it again"):
        read_state(path)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_file_that_is_written_anew_can_be_read(tmp_path, name):
    for value in (1.0, 2.0):
        write_state(tmp_path / name, {"weight": torch.tensor(value)})
        assert read_state(tmp_path / name)["weight"] == value
        write_sums(sum_beside(tmp_path / name), {name: file_sha256(tmp_path / name)})
