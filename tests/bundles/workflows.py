# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of all bundles share."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import set_track_meta

from monai_kd.inferers import Pass


def load_script(path: Path) -> ModuleType:
    """A bundle's script as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parents[1].name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def making(configs: Path, data: str, folder: Path, **usual: Any) -> Iterator[Callable[..., ConfigWorkflow]]:
    """What makes an initialised workflow of a bundle, whose root is a folder of the test's own: a fixture's body."""

    def make(*files: str | Path, **override: Any) -> ConfigWorkflow:
        given = {"bundle_root": str(folder), "dataset_dir": data, "device": "$torch.device('cpu')", "progress": False}
        given |= {"max_epochs": 1, **usual, **override}
        paths = [str(configs / f) if isinstance(f, str) else str(f) for f in ("train.yaml", *files)]
        workflow = ConfigWorkflow(paths, workflow_type="train", logging_file=False, **given)
        workflow.initialize()
        return workflow

    yield make
    set_track_meta(True)


def assert_layers_are_as_declared(parser: ConfigParser, role: str, image: torch.Tensor) -> None:
    """Layers, channels and head of the student or the teacher, as recipes are told of them."""
    network = parser.get_parsed_content({"student": "network_def", "teacher": "teacher_def"}[role]).eval()
    stages = parser.get_parsed_content(f"{role}_stages")
    taps = {**dict(zip("012", stages, strict=True)), "head": parser.get_parsed_content("heads")[role]}
    noted = Pass(taps={**taps, "input": parser.get_parsed_content("head_input")}).run("p", network, [image])
    assert [noted[f"p.{i}"].shape[1] for i in range(3)] == parser.get_parsed_content(f"{role}_stage_channels")
    assert stages[-1] == parser.get_parsed_content("layers")[role]
    assert noted["p.2"].shape[1] == noted["p.input"].shape[1] == parser.get_parsed_content(f"{role}_channels")
    assert noted["p"].equal(noted["p.head"])


def run(workflow: ConfigWorkflow) -> ConfigWorkflow:
    workflow.run()
    workflow.finalize()
    return workflow


def streams_of_two_iterations(workflow: ConfigWorkflow) -> list[list[bool]]:
    """Train, and tell which items of every batch were labelled."""
    drawn: list[list[bool]] = []
    workflow.trainer.add_event_handler(
        "ITERATION_COMPLETED", lambda engine: drawn.append(engine.state.batch["labeled"].tolist())
    )
    run(workflow)
    return drawn


def as_one_process_of_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchrun tells the only process that it starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> bool:
    return any(not v.equal(before[k]) for k, v in network.named_parameters())


def cause(error: BaseException | None, kind: type) -> str:
    """What the error of this kind said that MONAI wrapped into its own."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    return str(error)
