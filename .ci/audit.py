# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Ask pip-audit about every package that is installed here, and pass only if each was looked up and none is vulnerable.

pip-audit itself exits with 0 where it could not look a package up. Exit status: 0, none is vulnerable; 1, some are; 2,
not run, or not of all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

OURS = "monai-kd"
COMMAND = ("pip_audit", "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")


def canonical(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, str]:
    """Version of each installed package but ours, without the part that tells a build, such as `+cpu`."""
    found = {canonical(one.metadata["Name"]): one.version.partition("+")[0] for one in distributions()}
    return {name: version for name, version in sorted(found.items()) if name != OURS}


def judge(report: str, asked: Iterable[str]) -> tuple[list[str], int]:
    """Say what pip-audit found.

    Args:
        report: what it printed, JSON.
        asked: the packages that it was asked about.

    Returns:
        Lines to print, and the exit status.
    """
    try:
        entries = {canonical(entry["name"]): entry for entry in json.loads(report)["dependencies"]}
        vulnerable = [
            f"{name} {entry.get('version')}: {vuln['id']}, fixed in {', '.join(vuln['fix_versions']) or 'no version'}"
            for name, entry in entries.items()
            for vuln in entry.get("vulns", [])
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["not run: pip-audit gave no report; is the advisory service out of reach?"], 2
    missed = [
        f"not run for {name}: {entries.get(name, {}).get('skip_reason', 'is not in the report')}"
        for name in map(canonical, asked)
        if "vulns" not in entries.get(name, {})
    ]
    if not entries:
        missed.append("not run: the report is empty")
    lines = [*vulnerable, *missed] or [f"{len(entries)} packages, no known vulnerability"]
    return lines, 1 if vulnerable else 2 if missed else 0


def main() -> int:
    """Ask, print, and return the exit status."""
    packages = installed()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("".join(f"{name}=={version}\n" for name, version in packages.items()), encoding="utf-8")
        command = [sys.executable, "-m", *COMMAND, "--requirement", str(listed)]
        done = subprocess.run(command, capture_output=True, text=True)
    lines, status = judge(done.stdout, packages)
    told = done.stderr.strip().splitlines()[-1:] if status == 2 else []
    print("\n".join([*lines, *told]))
    return status or min(done.returncode, 1) * 2  # it failed, whatever it printed


if __name__ == "__main__":
    sys.exit(main())
