# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_kd.utils import CheckpointError, read_state


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
