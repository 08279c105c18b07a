# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import monai_kd
from monai_kd.__main__ import main
from monai_kd.utils.errors import ConfigError


def test_lists_the_recipes(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [recipe.id for recipe in monai_kd.recipes.list_recipes()]


def test_shows_a_recipe(capsys):
    assert main(["show", "fitnets"]) == 0
    assert "terms::hint" in capsys.readouterr().out


def test_path_is_a_file(capsys):
    assert main(["path", "kd"]) == 0
    assert capsys.readouterr().out.strip() == str(monai_kd.load_recipe("kd").path)


def test_our_error_is_one_line(capsys):
    assert main(["show", "fitnet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no recipe 'fitnet'. did you mean 'fitnets'")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("argv", [["--debug", "path", "fitnet"], ["path", "fitnet", "--debug"]])
def test_debug_shows_where_the_error_comes_from(argv):
    with pytest.raises(monai_kd.utils.UnknownNameError):
        main(argv)


def test_our_error_is_found_below_those_of_monai(monkeypatch, capsys):
    def fail(*_):
        try:
            raise ConfigError("no teacher\nhere", fix="train it")
        except ConfigError as error:
            raise RuntimeError("Failed to instantiate component") from error

    monkeypatch.setattr("monai_kd.commands.shelf.path", fail)
    assert main(["path", "kd"]) == 1
    assert capsys.readouterr().err == "error: no teacher here. train it\n"


def test_the_error_of_others_is_not_hidden(monkeypatch, capsys, tmp_path):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("monai_kd.commands.shelf.path", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["path", "kd"]) == 1
    assert capsys.readouterr().err.startswith("error: RuntimeError: out of memory. its traceback is in ")
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["path", "kd", "--debug"])


@pytest.mark.parametrize("argv", [[], ["lst"], ["run", "kd"], ["pack", "kd", "--bundle", "b"], ["list", "--x", "1"]])
def test_wrong_usage_is_two(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage: monai-kd" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"monai-kd {monai_kd.__version__}\n"


def test_report_says_where_the_page_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("monai_kd.report.write_report", lambda folder: f"{folder}/report.html")
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/report.html\n"


def test_report_of_nothing_is_our_error(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_as_a_program(project):
    def call(*words):
        return subprocess.run([sys.executable, "-m", "monai_kd", *words], cwd=project, capture_output=True, text=True)

    found = call("path", "kd")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.strip().endswith("kd.yaml")
    lost = call("path", "k")
    assert lost.returncode == 1
    assert lost.stderr.startswith("error: ")
    assert call("paths").returncode == 2


@pytest.mark.parametrize("words", [["list"], ["show", "kd"], ["path", "kd"], ["--help"]])
def test_what_only_reads_starts_without_torch(words, project):
    code = f"""
import atexit, sys
atexit.register(lambda: print(*{{"torch", "monai"}} & sys.modules.keys(), file=sys.stderr))
from monai_kd.__main__ import main
main({words!r})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\n")


def test_an_interruption_is_one_line(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt("go on with what there is")

    monkeypatch.setattr("monai_kd.commands.shelf.path", stop)
    assert main(["path", "kd"]) == 130
    assert capsys.readouterr().err == "interrupted; go on with what there is\n"
    with pytest.raises(KeyboardInterrupt):
        main(["path", "kd", "--debug"])


AT_WORK = """
import sys, threading, torch
from monai_kd import __main__ as command
def work():
    x = torch.rand(64, 3, 64, 64)
    while True:
        torch.nn.functional.conv2d(x, torch.rand(8, 3, 3, 3))
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
def main():
    print("said")
    END
command.main = main
command.program()
"""


@pytest.mark.parametrize(
    "end, code", [("return 1", 1), ("return 130", 130), ("raise RuntimeError", 1), ("raise KeyboardInterrupt", 130)]
)
def test_an_error_ends_the_process_though_threads_are_at_work(end, code, project):
    words = [sys.executable, "-c", AT_WORK.replace("END", end)]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "said\n"), done.stderr
    assert ("Traceback" in done.stderr) == end.startswith("raise") and "terminate" not in done.stderr


def test_the_installed_command_ends_so_too(project):
    assert "monai-kd = monai_kd.__main__:program" in (project / "setup.cfg").read_text()


def test_nobody_reads_on(project):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "monai_kd", "list"], cwd=project, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
