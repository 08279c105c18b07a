# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_kd.commands.listing import Entry
from monai_kd.data import check_groups, split_groups
from monai_kd.utils.errors import ConfigError, DataError

__all__ = ["divide", "told"]

SHARE = 0.15  #: of validation and of test, where nothing is said


def divide(
    entries: Sequence[Entry],
    labels: Sequence[Any],
    groups: Sequence[str],
    val: float | None = None,
    test: float | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> list[str]:
    """Say of each entry in which section it is, or by its number, as text, in which fold.

    Args:
        entries: what there is; those that have a section keep it, unless more is asked for out of their training.
        labels: a class per entry, or a list of findings.
        groups: a patient per entry.
        val: share of the validation section; None is 0.15 where nothing is divided yet.
        test: share of the test section, likewise.
        folds: number of folds, instead of a validation section.
        seed: of the division.

    Raises:
        ConfigError: shares or folds that cannot be.
        DataError: a patient in two sections, no training section, fewer patients than sections.
    """
    parts = [entry.section or "training" for entry in entries]
    check_groups(groups, parts, [entry.where for entry in entries])
    given = any(entry.section for entry in entries)
    default = 0.0 if given else SHARE
    shares = {
        "validation": default if val is None and not folds else val or 0.0,
        "test": default if test is None else test,
    }
    _check_asked(shares, val, folds, set(parts) if given else set())
    drawn = {section: share for section, share in shares.items() if share}
    _spread(parts, labels, groups, {"training": 1 - sum(drawn.values()), **drawn}, seed)
    if folds:
        _spread(parts, labels, groups, {str(fold): 1 / folds for fold in range(folds)}, seed)
    if not any(part == "training" or part.isdecimal() for part in parts):
        raise DataError("nothing is in training", where=entries[0].where)
    return parts


def _check_asked(shares: Mapping[str, float], val: float | None, folds: int | None, there: set[str]) -> None:
    for name, share in zip(("val", "test"), shares.values(), strict=True):
        if not 0 <= share < 1:
            raise ConfigError(f"must be at least 0 and below 1, got {share:g}", where=f"--{name}")
    if sum(shares.values()) >= 1:
        raise ConfigError("nothing is left to train on", where="--val, --test")
    if folds is not None and (folds < 2 or val is not None):
        raise ConfigError("takes 2 or more, and no --val: each fold validates in turn", where="--folds")
    numbered = any(part.isdecimal() for part in there)
    asked = {"--val": shares["validation"], "--test": shares["test"], "--folds": folds}
    has = {"--val": numbered or "validation" in there, "--test": numbered or "test" in there}
    has["--folds"] = has["--val"]
    for option, value in asked.items():
        if value and has[option]:
            raise ConfigError("is divided already, by a column or by folders", where=option, fix="leave it out")


def told(val: float | None, test: float | None, folds: int | None, seed: int, given: bool, by: str) -> str:
    """Say in one line how it was divided.

    Args:
        val: as asked for.
        test: as asked for.
        folds: as asked for.
        seed: of the division.
        given: whether there were sections already.
        by: patient or image.
    """
    shares = {"validation": None if folds else val, "test": test}
    default = None if given else SHARE
    words = [f"{folds} folds"] if folds else []
    for section, share in shares.items():
        share = default if share is None and not (folds and section == "validation") else share
        words += [f"{100 * share:g} % {section}"] if share else []
    start = ["as it was given"] if given else []
    return ", ".join([*start, *words, f"by {by}", *([f"seed {seed}"] if words else [])])


def _spread(
    parts: list[str], labels: Sequence[Any], groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> None:
    """Divide what is in training among `shares`, in place."""
    rows = [i for i, part in enumerate(parts) if part == "training"]
    if len(shares) < 2:
        return
    chosen = split_groups([labels[i] for i in rows], [groups[i] for i in rows], list(shares.values()), seed)
    for i, part in zip(rows, chosen, strict=True):
        parts[i] = list(shares)[part]
