# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import logging
import re

import pytest
import torch
from monai.bundle import ConfigParser

from monai_kd.__main__ import main
from monai_kd.commands.failure import failure, without_tracebacks
from tests.nets import LABEL, Classifier, batches, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")


def told(config, key):
    with pytest.raises(Exception) as error:  # whatever it is
        ConfigParser(config).get_parsed_content(key)
    return failure(error.value)


def test_a_component_is_named_with_the_settings_it_reads():
    optimizer = {"_target_": "torch.optim.SGD", "params": "$[torch.zeros(1)]", "lr": "@learning_rate"}
    line = told({"imports": ["$import torch"], "learning_rate": "abc", "optimizer": optimizer}, "optimizer")
    assert line.startswith("optimizer: TypeError: ")
    assert line.endswith(". it reads learning_rate='abc'. --debug shows where")


def test_the_innermost_is_named():
    config = {"a": {"_target_": "dict", "b": "@b"}, "b": "$1 / @zero", "zero": 0}
    assert told(config, "a") == "b: ZeroDivisionError: division by zero. it reads zero=0. --debug shows where"


def test_a_reference_that_leads_nowhere():
    assert told({"a": "$@b + 1"}, "a").startswith("a: ValueError: the referring item `@b` is not defined")


def test_what_is_no_configuration_is_not_explained():
    assert failure(RuntimeError("out of memory")) is None


def test_what_a_running_engine_raises_keeps_its_traceback():
    class Breaks:
        def attach(self, engine):
            engine.add_event_handler("ITERATION_COMPLETED", self)

        def __call__(self):
            raise RuntimeError("out of memory")

    trainer = make_trainer(Classifier(), {}, {"label": LABEL}, batches(1), train_handlers=[Breaks()])
    assert told({"trainer": trainer, "run": "$@trainer.run()"}, "run") is None


@pytest.mark.parametrize(
    "words, line",
    [
        (
            ["--max_epochs", "two", "--words", "$1 + @max_epochs"],
            r"error: words: TypeError: .*it reads max_epochs='two'",
        ),
        (["--network_def::in_features", "-1", "--run", "['$@network']"], "error: network_def: RuntimeError: "),
    ],
)
def test_a_run_that_cannot_be_built_is_one_line(bundle, capsys, words, line):
    assert main(["run", "kd", "--bundle", str(bundle), *words]) == 1
    assert re.match(line, capsys.readouterr().err.splitlines()[-1])


def test_debug_shows_the_whole_traceback(bundle):
    with pytest.raises(RuntimeError, match="Failed to evaluate"):
        main(["run", "kd", "--bundle", str(bundle), "--words", "$1 / 0", "--debug"])


def test_device_that_is_not_there():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    line = told({"x": {"_target_": "torch.zeros", "size": [1], "device": "@device"}, "device": "cuda"}, "x")
    assert line.startswith("x: ") and "it reads device='cuda'" in line


def test_what_nobody_foresaw_is_one_line_and_its_traceback_is_kept(bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_, **__):
        raise OSError("the printer is on fire")

    monkeypatch.setattr("monai_kd.commands.run.monai.bundle.run", fail)
    assert main(["run", "kd", "--bundle", str(bundle)]) == 1
    (file,) = tmp_path.glob("monai-kd-*.txt")
    told = capsys.readouterr().err
    assert told.startswith(f"error: OSError: the printer is on fire. its traceback is in {file}, --debug")
    kept = file.read_text()
    assert kept.startswith("Traceback") and "in fail" in kept and kept.endswith("OSError: the printer is on fire\n")
    with pytest.raises(OSError, match="fire"):
        main(["run", "kd", "--bundle", str(bundle), "--debug"])


def test_the_log_keeps_what_was_said_and_no_traceback(caplog):
    def fail() -> None:
        try:
            raise ValueError("out of paper")
        except ValueError:
            logging.getLogger("printer").exception("stopped")

    with without_tracebacks():
        fail()
    fail()
    assert [record.message for record in caplog.records] == ["stopped", "stopped"]
    assert [record.exc_info is None for record in caplog.records] == [True, False]
