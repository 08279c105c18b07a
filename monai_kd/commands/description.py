# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

import monai_kd
from monai_kd.commands.composition import Composition
from monai_kd.data.datalist import FILE

__all__ = ["described"]

_TEXTS = ("name", "task", "description", "data_source", "image_classes", "label_classes", "pred_classes")


def described(
    metadata: dict[str, Any], parser: ConfigParser, composed: Composition, teachers: Mapping[str, str]
) -> dict[str, Any]:
    """What `metadata.json` of a packed bundle says: its recipe and teacher, and the data it was trained on.

    Where the training has other classes, channels or sizes than the bundle's metadata, `network_data_format` is told
    them; a warning names the texts that only a person can write anew.

    Args:
        metadata: of the bundle.
        parser: the training, as it is to be.
        composed: the recipe's.
        teachers: SHA-256 by name; by itself where the name is not known.
    """
    told: dict[str, Any] = {key: composed.info[key] for key in ("title", "paper", "doi") if key in composed.info}
    block = {"recipe": composed.recipe.id, **told}
    if teachers:
        named = {name: {"file": name} for name, sha in teachers.items() if name != sha}
        block["teacher"] = [{**named.get(name, {}), "sha256": sha} for name, sha in teachers.items()]
    required = {**metadata.get("required_packages_version", {}), "monai-kd": monai_kd.__version__}
    found = {**copy.deepcopy(metadata), "required_packages_version": required, "distillation": block}
    if _tell_format(found.get("network_data_format", {}), parser):
        texts = ", ".join(name for name in _TEXTS if name in metadata)
        warnings.warn(f"metadata.json still tells of the bundle's own data in {texts}: rewrite them", stacklevel=3)
    return found


def _tell_format(form: Mapping[str, Any], parser: ConfigParser) -> bool:
    """Write into `network_data_format` what the training has, and say whether anything of it was otherwise."""
    image, pred = form.get("inputs", {}).get("image", {}), form.get("outputs", {}).get("pred", {})
    before = copy.deepcopy((image, pred))
    channels, size, classes = _value(parser, "in_channels"), _value(parser, "patch_size"), _classes(parser)
    if isinstance(channels, int) and channels != image.get("num_channels", channels):
        image.update(num_channels=channels, channel_def={str(i): str(i) for i in range(channels)})
    for place in (image, pred):
        if size is not None and place.get("spatial_shape"):
            place["spatial_shape"] = [*size]
    if classes and "channel_def" in pred and [*pred["channel_def"].values()] != classes:
        pred.update(num_channels=len(classes), channel_def={str(i): name for i, name in enumerate(classes)})
    return (image, pred) != before


def _classes(parser: ConfigParser) -> list[str] | None:
    """The names of what the network answers; None where they cannot be told, as without the data set."""
    if _value(parser, "sigmoid") is True and "structures" in parser:  # regions, a channel each
        return [str(name) for name in _value(parser, "structures")]
    folder, number = _value(parser, "dataset_dir"), _value(parser, "num_classes")
    if folder is not None and (Path(folder) / FILE).is_file() and "classes" in parser:
        return [str(name) for name in _value(parser, "classes")]
    known = parser.get("_meta_::network_data_format::outputs::pred::channel_def")
    return [str(i) for i in range(number)] if isinstance(number, int) and known and len(known) != number else None


def _value(parser: ConfigParser, key: str) -> Any:
    return parser.get_parsed_content(key) if key in parser else None
