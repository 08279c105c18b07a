# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What is read of a bundle, wherever it comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from monai.bundle import ConfigExpression, ConfigParser

from monai_kd.utils.errors import ConfigError

__all__ = ["ENDINGS", "apart", "config_files", "importable", "in_bundle", "read_bundle", "resolved"]

ENDINGS = (".yaml", ".yml", ".json")
_PLAIN = (str, int, float, bool, type(None))


def in_bundle(bundle: Path, stem: str) -> Path:
    """Find `configs/<stem>` with any ending MONAI reads.

    Raises:
        ConfigError: there is none.
    """
    for ending in ENDINGS:
        file = bundle / "configs" / f"{stem}{ending}"
        if file.is_file():
            return file
    raise ConfigError(
        f"no configs/{stem}{ENDINGS[0]} (or {', '.join(ENDINGS[1:])})", where=str(bundle), fix="is this a bundle?"
    )


def config_files(bundle: Path) -> list[Path]:
    """The files of the bundle's `configs` that MONAI can read."""
    return sorted(file for file in (bundle / "configs").glob("*.*") if file.suffix in ENDINGS)


@contextmanager
def importable(bundle: Path) -> Iterator[None]:
    """Let the bundle's `scripts` be imported, as they can be where MONAI is run in the bundle's folder."""
    before = sys.path[:]
    sys.path.insert(0, str(bundle.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def apart(bundle: Path) -> Iterator[None]:
    """Let the bundle's `scripts` be imported for a while, whatever `scripts` of another bundle there are."""
    others = {name: sys.modules.pop(name) for name in _scripts()}
    folder = bundle.resolve() / "scripts"
    if folder.is_dir() and not (folder / "__init__.py").is_file():  # or else another's that has one goes first
        sys.modules["scripts"] = ModuleType("scripts")
        sys.modules["scripts"].__path__ = [str(folder)]
    try:
        with importable(bundle):
            yield
    finally:
        for name in _scripts():
            del sys.modules[name]
        sys.modules.update(others)


def _scripts() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] == "scripts"]


def read_bundle(folder: Path) -> ConfigParser:
    """Read what a bundle infers with, or else what it trains with, and its metadata; nothing is built yet.

    Args:
        folder: the bundle's folder.

    Raises:
        ConfigError: it has neither.
    """
    stems = {file.stem for file in config_files(folder)}
    config = ConfigParser.load_config_file(in_bundle(folder, "inference" if "inference" in stems else "train"))
    parser = ConfigParser({**config, "bundle_root": str(folder)})
    if "metadata" in stems:
        parser.read_meta(in_bundle(folder, "metadata"))
    parser.resolve_macro_and_relative_ids()
    return parser


def resolved(parser: ConfigParser, key: str, where: str) -> Any:
    """The configuration at a key with what it refers to in its place."""
    config = parser[key]
    if isinstance(config, dict):
        return {name: resolved(parser, f"{key}::{name}", where) for name in config}
    if isinstance(config, list):
        return [resolved(parser, f"{key}::{i}", where) for i in range(len(config))]
    if isinstance(config, str) and config.startswith("@"):
        return resolved(parser, config[1:], where)
    if ConfigExpression.is_expression(config):
        value = parser.get_parsed_content(key)
        items = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(item, _PLAIN) for item in items):
            raise ConfigError(
                f"{config!r} gives a {type(value).__name__}, not text or numbers", where=f"{where}, {key}"
            )
        return list(value) if isinstance(value, tuple) else value
    return config
