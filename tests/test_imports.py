# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""The rules between the packages: who may import whom, what a name may be, what may never be written."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import monai
import pytest
from monai.utils.module import load_submodules

import monai_kd

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_kd"
HEADER = "# Copyright (c) monai_kd contributors\n# SPDX-License-Identifier: Apache-2.0\n"

# A part may import itself and what stands lower. The top meets the user, and may import everything.
TOP = 4
LEVELS = {
    "utils": 0,
    "losses": 1,
    "networks": 1,
    "transforms": 1,
    "data": 1,
    "metrics": 1,
    "inferers": 2,
    "handlers": 2,
    "engines": 3,
    "recipes": TOP,
    "report": TOP,
    "commands": TOP,
    "__main__": TOP,
    "__init__": TOP,
}
OPTIONAL = [
    "gudhi",
    "highdicom",
    "mlflow",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openslide",
    "pandas",
    "tensorboard",
    "timm",
    "torchvision",
]
sources = pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))


def part_of(file: Path) -> str:
    """Name the part of the package that a file belongs to: its folder, or itself at the top."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(file: Path, source: str) -> Iterator[tuple[int, str]]:
    """Yield line and part for everything of monai_kd that a source imports, functions included."""
    package = ["monai_kd", *file.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "monai_kd":
                yield node.lineno, name[1] if len(name) > 1 and name[1] in LEVELS else "__init__"


def violations(file: Path, source: str) -> list[str]:
    part = part_of(file)
    return [
        f"{file.relative_to(ROOT)}:{line}: {part} must not import {other}"
        for line, other in imported_parts(file, source)
        if other != part and LEVELS[other] >= LEVELS[part] and LEVELS[part] < TOP
    ]


def modules() -> list:
    """Import every module of the package."""
    found = pkgutil.walk_packages(monai_kd.__path__, "monai_kd.")
    return [importlib.import_module(info.name) for info in found if not info.name.endswith("__main__")]


@sources
def test_parts_import_only_what_stands_below_them(file):
    assert part_of(file) in LEVELS, f"{file} belongs to no part: give it a level in {__file__}"
    assert violations(file, file.read_text()) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("losses/x.py", "from monai_kd.networks import Teacher"),
        ("losses/x.py", "from ..networks.teacher import Teacher"),
        ("losses/x.py", "from .. import networks"),
        ("handlers/x.py", "import monai_kd.inferers"),
        ("utils/x.py", "def f():\n    from monai_kd.losses import Term"),
        ("engines/x.py", "from monai_kd import trainable"),
    ],
)
def test_rule_sees_a_wrong_import(file, source):
    assert len(violations(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("losses/x.py", "from monai_kd.losses.kd import KDLoss\nfrom .kd import KDLoss\nfrom . import kd"),
        ("losses/x.py", "from monai_kd.utils import linear\nfrom ..utils import linear\nfrom .. import utils"),
        ("engines/x.py", "import torch\nfrom monai.engines import SupervisedTrainer\nimport monai_kd.handlers"),
        ("__main__.py", "from monai_kd import commands, engines"),
    ],
)
def test_rule_allows_a_right_import(file, source):
    assert violations(PACKAGE / file, source) == []


def test_no_class_is_named_like_a_class_of_monai():
    load_submodules(monai, load_all=True)
    theirs = {
        name: cls.__module__
        for module in [m for n, m in sys.modules.items() if n == "monai" or n.startswith("monai.")]
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__.startswith("monai.")
    }
    assert len(theirs) > 500  # else MONAI was not really loaded, and the rest proves nothing
    ours = {
        name: cls.__module__
        for module in modules()
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__.startswith("monai_kd.") and not name.startswith("_")
    }
    assert {name: (where, theirs[name]) for name, where in ours.items() if name in theirs} == {}


def test_imports_without_the_optional_packages():
    block = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r}))"
    every = "import importlib; [importlib.import_module(name) for name in sys.argv[1:]]"
    names = [module.__name__ for module in modules()]
    run = subprocess.run(
        [sys.executable, "-c", f"{block}; {every}", "monai_kd", *names], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("folder", ["monai_kd", "tests", "bundles", "docs"])
def test_every_file_starts_with_the_licence(folder):
    files = [f for f in (ROOT / folder).rglob("*.py") if "_build" not in f.parts]
    assert [str(f.relative_to(ROOT)) for f in files if not f.read_text().startswith(HEADER)] == []
