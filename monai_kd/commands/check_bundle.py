# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

import monai_kd
from monai_kd.utils.bundle import ENDINGS
from monai_kd.utils.errors import ConfigError
from monai_kd.utils.lint_config import Finding, imported_names, lint_config
from monai_kd.utils.lint_files import lint_file

__all__ = ["check_bundle", "findings", "is_ours", "refuse_foreign", "refuse_foreign_files"]

_LEVELS = ("error", "warning", "note")


def check_bundle(folder: str | os.PathLike) -> tuple[str, int]:
    """Look through a bundle for what could run code other than MONAI's, torch's and ours; nothing of it is run.

    Args:
        folder: the bundle's folder.

    Returns:
        A table, worst first, and the exit status: 1 if there is an error.

    Raises:
        ConfigError: no such folder.

    Example::

        >>> import tempfile
        >>> from monai_kd.commands.check_bundle import check_bundle
        >>> folder = tempfile.mkdtemp()
        >>> check_bundle(folder)[1]
        0
    """
    found = sorted(findings(folder), key=lambda finding: (_LEVELS.index(finding.level), finding))
    counts = [sum(finding.level == level for finding in found) for level in _LEVELS]
    summary = ", ".join(f"{count} {level}{'s' * (count != 1)}" for count, level in zip(counts, _LEVELS, strict=True))
    head = Finding("", "file", "key", "what", "fix")
    return "\n".join([*(_table([head, *found]) if found else []), f"{folder}: {summary}"]), int(counts[0] > 0)


def refuse_foreign(folder: str | os.PathLike) -> None:
    """Refuse a bundle that is not the project's own and in which :func:`check_bundle` finds an error.

    Args:
        folder: the bundle's folder.

    Raises:
        ConfigError: it has errors; lists them.
    """
    if is_ours(folder):
        return
    _refuse(findings(folder), str(folder), f"`monai-kd check-bundle {folder}` lists all of it; ")


def refuse_foreign_files(files: Sequence[Path], beside: Sequence[Path] = ()) -> None:
    """Refuse a recipe, or what else is laid over a bundle, as a bundle is refused; it may write where it likes.

    Args:
        files: configurations; the project's own are not looked at.
        beside: more configurations, whose imports give names.

    Raises:
        ConfigError: one has errors, or cannot be read; lists them.
    """
    foreign = [file for file in files if not is_ours(file)]
    configs = {file: _read(file) for file in (*foreign, *beside)} if foreign else {}
    for file, config in configs.items():
        if isinstance(config, Exception):
            why = _safe(f"{type(config).__name__}: {config}")
            raise ConfigError("cannot be read", where=str(file), why=why) from config
    names = _all_names(configs.values())
    for file in foreign:
        _refuse(lint_config(configs[file], file.name, names, outputs=False), str(file))


def _refuse(found: Iterable[Finding], where: str, listing: str = "") -> None:
    errors = [finding for finding in found if finding.level == "error"]
    if errors:
        listed = "; ".join(_safe(f"{e.file} {e.key}".strip() + f": {e.what}") for e in errors[:10])
        more = f"; and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise ConfigError(
            f"may run code that is not MONAI's: {listed}{more}",
            where=where,
            fix=f"{listing}--trust runs it, if you know who wrote it",
        )


def is_ours(path: str | os.PathLike) -> bool:
    """Whether a bundle, or a file, is the project's own by where it lies: a recipe, or in `bundles/` beside it."""
    there, package = Path(path).resolve(), Path(monai_kd.__file__).resolve().parent
    if there.parent == package / "recipes":
        return True
    root = package.parent
    ours = (root / "bundles").resolve()
    return (root / "pyproject.toml").is_file() and there.is_relative_to(ours) and there != ours


def findings(folder: str | os.PathLike) -> list[Finding]:
    """What there is to say of every file of a bundle, in the order of their names.

    Args:
        folder: the bundle's folder.

    Raises:
        ConfigError: no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError("no such folder", where=str(root), fix="a bundle is a folder with configs and models")
    ours, found = is_ours(root), list[Finding]()
    configs: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            level = "error" if path.is_dir() else "warning"
            found.append(Finding(level, name, "", "leads out of the bundle", "look where it leads"))
        elif path.is_symlink() and path.is_dir():  # so that code has another name
            found.append(Finding("error", name, "", "is a link to a folder", "put a copy there"))
        if path.suffix.lower() in ENDINGS and path.parent.name == "configs":
            config = _read(path)
            if isinstance(config, Exception):
                found.append(Finding("error", name, "", "cannot be read", _safe(f"{type(config).__name__}: {config}")))
            else:
                configs[name] = config
        elif path.is_file() and not (ours and path.suffix in (".py", ".pyc")):
            found += lint_file(path, name)
    names = _all_names(configs.values())
    for name, config in configs.items():
        found += lint_config(config, name, names)
    return found


def _all_names(configs: Iterable[Any]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for config in configs:
        for alias, targets in imported_names(config).items():
            names.setdefault(alias, set()).update(targets)
    return names


def _read(path: Path) -> Any:
    try:
        return ConfigParser.load_config_file(path)
    except Exception as error:  # a file made to break a parser may break it anyhow
        return error


def _table(rows: Sequence[Finding]) -> list[str]:
    cells = [[_safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def _safe(text: str, most: int = 120) -> str:
    """One line that a terminal only shows."""
    line = "".join(c if c.isprintable() else "?" for c in text.replace("\n", " "))
    return line if len(line) <= most else f"{line[: most - 3]}..."
