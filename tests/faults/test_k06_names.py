# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder may be called anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from monai_kd.handlers import Checkpoint, FinalModelSaver, History
from monai_kd.networks import load_weights
from tests.conftest import ROOT
from tests.nets import LABEL, Classifier, batches, make_trainer, same

NAME = "Läufe 数据 [v1] ß"
CHILD = """
import sys, torch
from torch import nn
from monai_kd.utils import read_state, write_state, write_text, write_torchscript
folder = sys.argv[1]
for value in (1, 2):
    write_state(folder + "/state.pt", {"value": value}, folder + "/state.previous.pt")
write_torchscript(folder + "/model.ts", nn.Identity())
write_text(folder + "/notes.txt", "\\xe4")
assert read_state(folder + "/state.pt") == {"value": 2}
"""


def test_a_run_and_its_continuation(tmp_path):
    folder = tmp_path / NAME / "a b"
    for epochs in (2, 3):
        student = Classifier()
        script = folder / "mödel 1.ts"
        handlers = [
            Checkpoint(folder, filename="Stand ü.pt", resume=True),
            FinalModelSaver(student, folder / "modèle.pt", script),
            History(folder),
        ]
        trainer = make_trainer(student, {}, {"label": LABEL}, batches(1), epochs, train_handlers=handlers)
        trainer.run()
    assert trainer.state.iteration == 3
    assert same(load_weights(Classifier(), folder / "modèle.pt"), student.state_dict())
    x = torch.zeros(1, 1, 6, 6)
    assert torch.equal(torch.jit.load(str(script))(x), student.eval()(x))
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.parametrize("plain", [{}, {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}], ids=["as is", "ASCII"])
def test_in_a_locale_that_knows_no_such_letters(tmp_path, plain):
    (tmp_path / NAME).mkdir()
    given = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
    environment = {**given, "LANG": "C", "LC_ALL": "C", "PYTHONPATH": str(ROOT), **plain}
    run = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / NAME)], env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    names = ["model.ts", "notes.txt", "state.previous.pt", "state.pt"]
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == names
