# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.recipes import check_paths, lay_over, load_recipe
from monai_kd.utils import UnknownNameError
from tests.recipes.plain import Net

BASE: dict[str, Any] = {
    "layers": {"student": "a", "teacher": "b"},
    "heads": {"student": "c"},  # nobody reads them
    "kd_loss": {"_target_": "monai_kd.losses.KDLoss", "temperature": 4.0},
    "net": {"_target_": "UNet", "channels": [1, 2]},
    "mine": {"_target_": "scripts.nowhere.Net"},
    "given": {"_target_": "$@layers::student.upper"},
    "terms": {"kd": {"loss": "@kd_loss"}},
    "vectors": {},
    "train": {
        "taps": ["@layers::student", "$@layers::teacher"],
        "loss": "@terms",
        "keys": "$[*@vectors]",
        "near": {"low": 1, "reads": "@#low"},
        "handlers": [{"_target_": "StatsHandler", "name": "train"}],
        "trainer": {"handlers": "@train::handlers", "options": {"_target_": "dict"}},
    },
}


def check(*overlays: dict[str, Any]) -> None:
    parser = ConfigParser(copied(BASE))
    for overlay in overlays:
        lay_over(parser, copied(overlay), "x.yaml")
    check_paths(BASE, overlays, parser.get())


def copied(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: copied(value) for key, value in config.items()}
    return [copied(value) for value in config] if isinstance(config, list) else config


@pytest.mark.parametrize(
    "key, nearest",
    [
        ("layers::studnet", "student"),
        ("layers#studnet", "student"),
        ("kd_loss::temprature", "temperature"),
        ("net::chanels", "channels"),
        ("train::handlers::0::nmae", "name"),
        ("train::tap", "taps"),
        ("train::near::lwo", "low"),
    ],
)
def test_a_path_nobody_reads_is_refused(key, nearest):
    with pytest.raises(UnknownNameError, match=f"{key.replace('#', '::')}.*did you mean '{nearest}'"):
        check({key: "x"})


@pytest.mark.parametrize(
    "overlay",
    [
        {"layers::student": "x"},
        {"heads::student": "x"},
        {"heads::teacher": "x"},  # nothing tells how the heads are read, if at all
        {"kd_loss::temperature": 2, "kd_loss::_disabled_": True},
        {"terms::other": {"loss": "@kd_loss"}, "terms::kd::anything": 1},
        {"vectors::genes": 3},
        {"mine::width": 3},
        {"given::x": 3},
        {"layers::middle": "m", "tap": "@layers::middle"},
        {"layers::middle": {"low": "m"}, "tap": "$@layers::middle::low"},
        {"train::balanced": 1, "train::trainer::options::data": "@train::balanced"},
        {"train::near::high": 2, "train::near::reads": "@#high"},
        {"recipe::note": "mine", "imports": []},
        {"+layers": {"student": "x"}},
        {"train::handlers::0::name": "x"},
    ],
)
def test_a_path_somebody_reads_passes(overlay):
    check({"recipe": {}}, overlay)


def test_what_is_merged_in_is_looked_at_too():
    with pytest.raises(UnknownNameError, match="layers::studnet"):
        check({"+layers": {"studnet": "x"}})


def test_a_later_layer_may_leave_unread_what_an_earlier_one_gave():
    check({"train::balanced": 1, "train::keys": "@train::balanced"}, {"train::keys": 3})
    check({"kd_loss::temperature": 2}, {"kd_loss": None})


def test_the_arguments_are_those_of_the_class_that_came_last():
    other = {"kd_loss": {"_target_": "torch.nn.CrossEntropyLoss"}}
    check(other, {"kd_loss::label_smoothing": 0.1})
    with pytest.raises(UnknownNameError, match="CrossEntropyLoss has no argument 'temperature'"):
        check(other, {"kd_loss::temperature": 3})


def test_nothing_of_a_bundle_is_imported(tmp_path, monkeypatch):
    (tmp_path / "intruder.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check({"net": {"_target_": "intruder.Net"}}, {"net::width": 1})
    assert not (tmp_path / "ran").exists()


def test_in_python_too():
    with pytest.raises(UnknownNameError, match=r"'kd_loss::temprature'.*did you mean 'temperature'"):
        load_recipe("kd")(Net(4), Net(8), **{"kd_loss::temprature": 2})
    method = load_recipe("kd")(Net(4), Net(8), **{"kd_loss::temperature": 2})
    assert method.objective.term("kd").loss.temperature == 2


def test_an_argument_may_be_an_object():
    given = {"label_loss": {"_target_": torch.nn.CrossEntropyLoss}}
    with pytest.raises(UnknownNameError, match="CrossEntropyLoss has no argument 'wieght'"):
        load_recipe("kd")(Net(4), Net(8), **given, **{"label_loss::wieght": torch.ones(3)})
