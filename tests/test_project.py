# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

"""What setup.cfg, constraints.txt, CHANGELOG.md, Makefile and .ci/run say of each other."""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import monai_kd

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_kd"
IMPORTED_AS = {"ignite": "pytorch-ignite", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}


def requirements(text: str) -> dict[str, Requirement]:
    """Read one requirement a line; a line that starts with # is a remark."""
    found = [Requirement(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


@pytest.fixture(scope="module")
def extras(config) -> dict[str, dict[str, Requirement]]:
    return {extra: requirements(text) for extra, text in config["options.extras_require"].items()}


@pytest.fixture(scope="module")
def constraints() -> dict[str, Requirement]:
    return requirements((ROOT / "constraints.txt").read_text())


def imports(file: Path) -> tuple[set[str], set[str]]:
    """Return the top-level packages that a file imports when it is imported, and those it imports later."""
    tree = ast.parse(file.read_text())
    at_once = set(tree.body)
    found: tuple[set[str], set[str]] = (set(), set())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        found[node not in at_once].update(name.split(".")[0] for name in names)
    return found


def distributions(names: set[str]) -> set[str]:
    ours = {"monai_kd", "__future__", *sys.stdlib_module_names}
    return {canonicalize_name(IMPORTED_AS.get(name, name)) for name in names if name not in ours}


def test_extras_are_the_promised_ones(extras):
    assert set(extras) == {"dicom", "wsi", "export", "tracking", "timm", "topology", "docs", "dev"}


def test_what_is_imported_is_required(config, extras):
    required = set(requirements(config["options"]["install_requires"]))
    optional = required.union(*extras.values())
    for file in PACKAGE.rglob("*.py"):
        at_once, later = map(distributions, imports(file))
        assert at_once <= required, f"{file} imports packages that setup.cfg does not install"
        assert later <= optional, f"{file} imports packages that no extra installs"


def test_constraints_fit_the_ranges(config, extras, constraints):
    installed = [extras[extra] for extra in ("dev", "docs", "export", "topology", "tracking", "wsi")]
    wanted = {**requirements(config["options"]["install_requires"])}
    for extra in installed:
        wanted.update(extra)
    assert set(constraints) == set(wanted)
    for name, pin in constraints.items():
        (version,) = pin.specifier
        assert version.operator == "=="
        assert wanted[name].specifier.contains(version.version), f"{pin} is outside of setup.cfg's {wanted[name]}"


def test_changelog_knows_the_version():
    released = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert monai_kd.__version__ in released


def test_every_step_of_ci_is_a_target():
    (steps,) = re.findall(r"^for step in (.+); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(steps.split()) <= set(targets)


def test_wheel_holds_the_package_and_its_recipes_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in ("monai_kd", "tests", "bundles"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "models", "*.pt"))
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("monai_kd-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = [*PACKAGE.rglob("*.py"), *(PACKAGE / "recipes").glob("*.yaml")]
    assert held == {str(file.relative_to(ROOT)) for file in expected}
