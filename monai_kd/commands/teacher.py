# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_kd.commands.composition import Composition
from monai_kd.commands.plain import strings
from monai_kd.networks.teacher_bundle import warn_prepared_otherwise
from monai_kd.utils.bundle import apart, config_files, in_bundle, read_bundle, resolved
from monai_kd.utils.errors import ConfigError

__all__ = ["compare_with_teacher", "teacher_overrides"]


def teacher_overrides(bundle: str | Path, packed: bool = False) -> dict[str, Any]:
    """Make the network that a bundle publishes the teacher of another: what `--teacher` lays over.

    Args:
        bundle: the teacher's bundle, with `network_def` in its inference or training and its weights in
            `models/model.pt`.
        packed: the teacher's network must be written down, so that it can be built without its bundle.

    Returns:
        `teacher_def`, free of references, and `teacher_checkpoint`. A network that cannot be written down (it is in the
        bundle's own `scripts`, or its arguments are no text and numbers) is built from its bundle when it is run.

    Raises:
        ConfigError: the bundle lacks one of them, or `packed` cannot be.
    """
    folder = Path(bundle)
    weights = folder / "models" / "model.pt"
    if not weights.is_file():
        raise ConfigError("no such file", where=str(weights), fix="--teacher takes a bundle's folder, with its weights")
    parser = read_bundle(folder)
    if "network_def" not in parser:
        raise ConfigError("has no network_def", where=str(folder))
    try:
        network = _written_down(parser, folder)
    except ConfigError:
        if packed:
            raise
        network = {"_target_": "monai_kd.networks.bundle_network", "folder": str(folder)}
    return {"teacher_def": network, "teacher_checkpoint": str(weights)}


def _written_down(parser: ConfigParser, folder: Path) -> Any:
    with apart(folder):
        network = resolved(parser, "network_def", str(folder))
    if any(text.startswith("scripts.") for _, text in strings(network)):
        raise ConfigError(
            "network_def is in the bundle's own scripts", where=str(folder), fix="copy them to the student's"
        )
    return network


def compare_with_teacher(composed: Composition, bundle: str | Path) -> None:
    """Warn where the teacher's bundle prepares images otherwise than the student's, under all that is laid over it.

    Args:
        composed: the student's training.
        bundle: the teacher's folder.
    """
    parser = ConfigParser({**composed.merged(), "bundle_root": str(composed.bundle)})
    if any(file.stem == "metadata" for file in config_files(composed.bundle)):
        parser.read_meta(in_bundle(composed.bundle, "metadata"))
    parser.resolve_macro_and_relative_ids()
    warn_prepared_otherwise(parser, composed.bundle, Path(bundle))
