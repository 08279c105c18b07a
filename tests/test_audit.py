# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import subprocess

import pytest

from tests.bundles.workflows import load_script
from tests.conftest import ROOT

CLEAN = {"name": "torch", "version": "2.9.0", "vulns": []}
VULN = {"id": "PYSEC-2026-1", "fix_versions": ["12.1"], "aliases": [], "description": "a picture may run code"}
BAD = {"name": "Pillow", "version": "12.0", "vulns": [VULN]}
SKIPPED = {"name": "monai", "skip_reason": "Dependency not found on PyPI and could not be audited: monai (1.6.1)"}


@pytest.fixture
def audit():
    """The module `.ci/audit.py`."""
    return load_script(ROOT / ".ci" / "audit.py")


@pytest.mark.parametrize(
    ("dependencies", "status", "told"),
    [
        ([CLEAN], 0, ["1 packages, no known vulnerability"]),
        ([CLEAN, BAD], 1, ["pillow 12.0: PYSEC-2026-1, fixed in 12.1"]),
        ([CLEAN, SKIPPED], 2, [f"not run for monai: {SKIPPED['skip_reason']}"]),
        (
            [BAD, SKIPPED],
            1,
            ["pillow 12.0: PYSEC-2026-1, fixed in 12.1", f"not run for monai: {SKIPPED['skip_reason']}"],
        ),
        ([], 2, ["not run: the report is empty"]),
    ],
)
def test_what_a_report_says(audit, dependencies, status, told):
    report = json.dumps({"dependencies": dependencies, "fixes": []})
    assert audit.judge(report, [entry["name"] for entry in dependencies]) == (told, status)


def test_a_package_that_the_report_leaves_out(audit):
    assert audit.judge(json.dumps({"dependencies": [CLEAN]}), ["torch", "monai"]) == (
        ["not run for monai: is not in the report"],
        2,
    )


@pytest.mark.parametrize("report", ["", "Traceback", "[]", "{}", '{"dependencies": [{}]}', '{"dependencies": 3}'])
def test_no_report_is_not_run(audit, report):
    lines, status = audit.judge(report, ["torch"])
    assert status == 2 and lines[0].startswith("not run: ")


@pytest.mark.parametrize(("returned", "status"), [(0, 0), (1, 2)])
def test_its_own_failure_is_one(audit, monkeypatch, capsys, returned, status):
    report = {"dependencies": [{"name": name, "version": v, "vulns": []} for name, v in audit.installed().items()]}
    done = subprocess.CompletedProcess([], returned, json.dumps(report), "")
    monkeypatch.setattr(audit.subprocess, "run", lambda *args, **kwargs: done)
    assert audit.main() == status and "no known vulnerability" in capsys.readouterr().out


def test_every_package_is_asked_about_but_ours(audit):
    packages = audit.installed()
    assert {"torch", "monai", "numpy"} <= packages.keys() and "monai-kd" not in packages
    assert not any("+" in version for version in packages.values())
