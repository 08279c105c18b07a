# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigExpression, ConfigParser

from monai_kd.commands.composition import config_files, importable, in_bundle
from monai_kd.commands.plain import strings
from monai_kd.utils.errors import ConfigError

__all__ = ["teacher_overrides"]

_PLAIN = (str, int, float, bool, type(None))


def teacher_overrides(bundle: str | Path) -> dict[str, Any]:
    """Make the network that a bundle publishes the teacher of another: what `--teacher` lays over.

    Args:
        bundle: the teacher's bundle, with `network_def` in its inference or training and its weights in
            `models/model.pt`.

    Returns:
        `teacher_def`, free of references, and `teacher_checkpoint`.

    Raises:
        ConfigError: the bundle lacks one of them, or its network cannot be written down without running code.
    """
    folder = Path(bundle)
    weights = folder / "models" / "model.pt"
    if not weights.is_file():
        raise ConfigError("no such file", where=str(weights), fix="--teacher takes a bundle's folder, with its weights")
    stems = {file.stem for file in config_files(folder)}
    config = ConfigParser.load_config_file(in_bundle(folder, "inference" if "inference" in stems else "train"))
    parser = ConfigParser({**config, "bundle_root": str(folder)})
    if "metadata" in stems:
        parser.read_meta(in_bundle(folder, "metadata"))
    if "network_def" not in parser:
        raise ConfigError("has no network_def", where=str(folder))
    parser.resolve_macro_and_relative_ids()
    with importable(folder):
        network = _resolved(parser, "network_def", folder)
    if any(text.startswith("scripts.") for _, text in strings(network)):
        raise ConfigError(
            "network_def is in the bundle's own scripts", where=str(folder), fix="copy them to the student's"
        )
    return {"teacher_def": network, "teacher_checkpoint": str(weights)}


def _resolved(parser: ConfigParser, key: str, folder: Path) -> Any:
    """The configuration at a key with what it refers to in its place."""
    config = parser[key]
    if isinstance(config, dict):
        return {name: _resolved(parser, f"{key}::{name}", folder) for name in config}
    if isinstance(config, list):
        return [_resolved(parser, f"{key}::{i}", folder) for i in range(len(config))]
    if isinstance(config, str) and config.startswith("@"):
        return _resolved(parser, config[1:], folder)
    if ConfigExpression.is_expression(config):
        value = parser.get_parsed_content(key)
        items = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(item, _PLAIN) for item in items):
            raise ConfigError(
                f"{config!r} gives a {type(value).__name__}, not text or numbers", where=f"{folder}, {key}"
            )
        return list(value) if isinstance(value, tuple) else value
    return config
