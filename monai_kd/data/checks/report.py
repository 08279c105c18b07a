# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["DatasetReport", "Finding"]

LINES = 50


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong, in a data set.

    Args:
        severity: `error` or `warning`.
        fault: which kind of fault, such as `K30` (unreadable file), or `leak`.
        what: what is wrong, one clause.
        file: as the `dataset.json` names it.
        item: its place there, such as `training[3]`.
        fix: what to do about it.
    """

    severity: str
    fault: str
    what: str
    file: str = ""
    item: str = ""
    fix: str = ""


@dataclass
class DatasetReport:
    """What :func:`check_dataset` found.

    Args:
        findings: in the order of the items.
        cases: number of items by section.
        classes: by section, how many items have each class (label files: in how many it occurs).
        shapes: smallest and largest size along each axis, by key.
        spacings: smallest and largest spacing along each axis, by key, of files that have one.

    Example::

        >>> from monai_kd.data.checks.report import DatasetReport, Finding
        >>> report = DatasetReport([Finding("error", "K30", "ends after 10 of 20 bytes", "a.nii", "training[0]")])
        >>> report.ok
        False
        >>> print(report.table())
        severity  fault  item         file   what
        error     K30    training[0]  a.nii  ends after 10 of 20 bytes
    """

    findings: list[Finding] = field(default_factory=list)
    cases: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    shapes: dict[str, list[list[int]]] = field(default_factory=dict)
    spacings: dict[str, list[list[float]]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be."""
        return all(finding.severity != "error" for finding in self.findings)

    def counts(self) -> Mapping[str, int]:
        """How many errors and warnings there are."""
        return Counter(finding.severity for finding in self.findings)

    def table(self) -> str:
        """The findings as plain text, errors first, the first 50; empty if there are none."""
        worst = sorted(self.findings, key=lambda finding: finding.severity != "error")
        rows = [("severity", "fault", "item", "file", "what")]
        for one in worst[:LINES]:
            rows.append(
                (one.severity, one.fault, one.item, one.file, f"{one.what}; {one.fix}" if one.fix else one.what)
            )
        clean = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in clean]
        more = [f"and {len(worst) - LINES} more"] if len(worst) > LINES else []
        return "\n".join(lines + more) if worst else ""

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, for `json.dumps`."""
        return {"ok": self.ok, **asdict(self)}
