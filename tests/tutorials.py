# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Run a tutorial as its reader would: every block from top to bottom, in the root of a clone.

`python -m tests.tutorials NAME FOLDER` runs docs/tutorials/NAME.md as it stands in a new FOLDER, then writes what each
block printed into the text block that follows it, and the figures into docs/figures/tutorials.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "tutorials"
FIGURES = ROOT / "docs" / "figures" / "tutorials"
BLOCK = re.compile(r"^```(python|bash|yaml)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.(?:py|yaml))\b")


def run(name: str, folder: Path, constants: Mapping[str, Any] | None = None, epochs: int | None = None) -> list[str]:
    """Run a tutorial in `folder`, which becomes like a clone: it gets a copy of the bundles.

    A block that starts with `# name.py` or `# name.yaml` is saved as that file; the other Python blocks are run in one
    namespace, the other YAML blocks are for reading.

    Args:
        name: of the tutorial, without its ending.
        folder: new.
        constants: set after the first Python block that is run, in place of what it set them to.
        epochs: replaces the number after `--max_epochs` in what is typed.

    Returns:
        What each block printed.
    """
    ignored = shutil.ignore_patterns("__pycache__", "data", "teacher", "output", "*.pt", "*.ts", "*.onnx")
    shutil.copytree(ROOT / "bundles", folder / "bundles", ignore=ignored)
    page = PAGES / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": name}
    told = []
    with _inside(folder):
        for block in BLOCK.finditer(text):
            code, saved = block[2], FILE.match(block[2])
            if saved:
                Path(saved[1]).write_text(code, encoding="utf-8")
                told.append("")
            elif block[1] == "bash":
                told.append(_shell(code if epochs is None else re.sub(r"(?<=--max_epochs )\d+", str(epochs), code)))
            elif block[1] == "python":
                first = not any(key != "__name__" for key in names)
                told.append(_python("\n" * text.count("\n", 0, block.start(2)) + code, page, names))
                names.update(constants or {} if first else {})
            else:
                told.append("")
    return told


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder, whose modules can be imported meanwhile."""
    here, modules, path = os.getcwd(), set(sys.modules), list(sys.path)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def _python(code: str, page: Path, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, str(page), "exec"), names)
    return out.getvalue()


def _shell(code: str) -> str:
    """What is typed, with the programs of this Python's environment and this project's monai_kd."""
    paths = {"PATH": Path(sys.executable).parent, "PYTHONPATH": ROOT}
    env = {**os.environ, **{key: f"{path}{os.pathsep}{os.environ.get(key, '')}" for key, path in paths.items()}}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{code}\nfailed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def main(name: str, folder: str) -> None:
    """Run a tutorial as it stands, and keep what it printed and drew.

    Args:
        name: of the tutorial.
        folder: new.
    """
    start = time.perf_counter()
    told = iter(run(name, Path(folder).resolve()))
    print(f"{name}: {time.perf_counter() - start:.0f} s")

    def filled(block: re.Match) -> str:
        text = next(told)
        head = f"```{block[1]}\n{block[2]}```\n"
        return head if block[3] is None else f"{head}\n```text\n{text.rstrip()}\n```\n"

    page = PAGES / f"{name}.md"
    page.write_text(BLOCK.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")
    FIGURES.mkdir(parents=True, exist_ok=True)
    for figure in Path(folder).glob(f"{name}_*.svg"):
        shutil.copy(figure, FIGURES)


if __name__ == "__main__":
    main(*sys.argv[1:])
