# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import monai.transforms
from monai.bundle import ConfigParser
from monai.utils import ensure_tuple

from monai_kd.utils.bundle import resolved
from monai_kd.utils.errors import ConfigError

__all__ = ["Step", "differences", "read_preprocessing"]

_REFERENCE = re.compile(r"@(\w+(?:::\w+)*)")

PLACES = ("validate::preprocessing", "preprocessing")
KINDS = {
    "spacing": ("Spacing",),
    "orientation": ("Orientation",),
    "intensity": (
        "AdjustContrast",
        "ClipIntensityPercentiles",
        "HistogramNormalize",
        "MaskIntensity",
        "NormalizeIntensity",
        "ScaleIntensity",
        "ScaleIntensityRange",
        "ScaleIntensityRangePercentiles",
        "ShiftIntensity",
        "StdShiftIntensity",
        "ThresholdIntensity",
    ),
    "size": (
        "BorderPad",
        "CenterScaleCrop",
        "CenterSpatialCrop",
        "CropForeground",
        "DivisiblePad",
        "Pyramid",
        "Resize",
        "ResizeWithPadOrCrop",
        "SpatialCrop",
        "SpatialPad",
        "Zoom",
    ),
}
KIND = {name: kind for kind, names in KINDS.items() for name in names}
# what changes no value of the image, or where it is kept
IGNORED = {"keys", "allow_missing_keys", "device", "dtype", "lazy", "source_key", "start_coord_key", "end_coord_key"}
PER_KEY = {"mode", "padding_mode", "align_corners"}


class Step(NamedTuple):
    """A transform that changes what an image looks like."""

    name: str
    """Of the transform, without the ending of dictionary transforms."""
    given: dict[str, Any]
    """Arguments of the configuration."""
    values: dict[str, Any]
    """Those, and the defaults."""


def read_preprocessing(parser: ConfigParser, key: str = "image") -> list[Step]:
    """Read how a bundle brings an image to its spacing, orientation, range of values and size; nothing is built.

    Looked at are the transforms of `validate::preprocessing`, or else of `preprocessing`, that touch the image. An
    argument that cannot be had without the data is taken as it is written.

    Args:
        parser: the bundle's configuration.
        key: what it calls the image.

    Raises:
        ConfigError: there is neither, or it is not a list of transforms.

    Example::

        >>> from monai.bundle import ConfigParser
        >>> from monai_kd.utils.preprocessing import differences, read_preprocessing
        >>> student, teacher = (
        ...     read_preprocessing(ConfigParser({"preprocessing": [{"_target_": "Spacing", "pixdim": mm}]}))
        ...     for mm in ([1, 1, 1], [1.5, 1.5, 2]))
        >>> differences(student, teacher)
        ['spacing: pixdim of Spacing is [1, 1, 1] for the student, [1.5, 1.5, 2] for the teacher']
    """
    place = next((place for place in PLACES if place in parser), None)
    if place is None:
        raise ConfigError(f"the configuration has no {' and no '.join(PLACES)}")
    return list(_steps(parser, place, key))


def differences(
    student: list[Step],
    teacher: list[Step],
    *,
    names: tuple[str, str] = ("the student", "the teacher"),
    as_written: bool = True,
) -> list[str]:
    """Say where two bundles prepare images differently: one line for each kind, or for each argument that differs.

    Args:
        student: what the student's bundle does, from `read_preprocessing`.
        teacher: what the teacher's does.
        names: what the two are called.
        as_written: whether an argument that cannot be had without the data differs from another; or is passed over.
    """
    return [line for kind in KINDS for line in _differences(kind, (student, teacher), names, as_written)]


def _differences(
    kind: str, both: tuple[list[Step], list[Step]], names: tuple[str, str], as_written: bool
) -> Iterator[str]:
    mine, theirs = ([step for step in steps if KIND[step.name] == kind] for steps in both)
    if [step.name for step in mine] != [step.name for step in theirs]:
        yield f"{kind}: {_shown(mine)} for {names[0]}, {_shown(theirs)} for {names[1]}"
        return
    for a, b in zip(mine, theirs, strict=True):
        for argument in dict.fromkeys([*a.values, *b.values]):
            left, right = a.values.get(argument), b.values.get(argument)
            if left != right and (as_written or not any(map(_is_written, (left, right)))):
                yield f"{kind}: {argument} of {a.name} is {left!r} for {names[0]}, {right!r} for {names[1]}"


def _is_written(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_written, value))
    return isinstance(value, str) and value.startswith(("$", "@"))


def _shown(steps: list[Step]) -> str:
    return " then ".join(f"{s.name}({', '.join(f'{k}={v!r}' for k, v in s.given.items())})" for s in steps) or "nothing"


def _steps(parser: ConfigParser, place: str, key: str) -> Iterator[Step]:
    config = parser[place]
    if isinstance(config, str) and config.startswith("@"):
        yield from _steps(parser, config[1:], key)
    elif isinstance(config, str) and (names := _summed(config)) and all(name in parser for name in names):
        for name in names:
            yield from _steps(parser, name, key)
    elif isinstance(config, list):
        for i in range(len(config)):
            yield from _steps(parser, f"{place}::{i}", key)
    elif not isinstance(config, dict):
        raise ConfigError("is no list of transforms", where=place)
    elif "transforms" in config:
        yield from _steps(parser, f"{place}::transforms", key)
    elif config.get("_disabled_") is not True:
        target = str(config.get("_target_", "")).rpartition(".")[2]
        name = next(
            (target.removesuffix(end) for end in ("Dict", "D", "d") if target.removesuffix(end) in KIND), target
        )
        touched = name != "Pyramid" or "names" not in config or key in ensure_tuple(config["names"])
        if name in KIND and touched and (index := _index(parser, f"{place}::keys", key)) is not None:
            given = {arg: _value(parser, f"{place}::{arg}") for arg in config if arg not in IGNORED and arg[0] != "_"}
            for arg in PER_KEY & given.keys():
                if isinstance(given[arg], list):
                    given[arg] = given[arg][index if index < len(given[arg]) else 0]
            yield Step(name, given, {**_defaults(target), **given})


def _summed(text: str) -> list[str]:
    """What an expression adds up that only adds up: loading and last of `$@loading + [@last]`."""
    sums = text.startswith("$") and not _REFERENCE.sub("", text).strip("$ +[],")
    return _REFERENCE.findall(text) if sums else []


def _index(parser: ConfigParser, place: str, key: str) -> int | None:
    """Where the image is among a transform's keys; None if it is not there. Keys that are an expression may hold it."""
    if place not in parser:
        return 0
    config = parser[place]
    if isinstance(config, str) and config.startswith("@"):
        return _index(parser, config[1:], key)
    if isinstance(config, str):
        return 0 if config == key or config.startswith("$") else None
    keys = [str(item) for item in config]
    return keys.index(key) if key in keys else None


def _value(parser: ConfigParser, place: str) -> Any:
    try:
        return _plain(resolved(parser, place, place))
    except Exception:  # whatever the bundle's own expression raises without its data: then as it is written
        return parser[place]


def _defaults(target: str) -> Mapping[str, Any]:
    transform = getattr(monai.transforms, target, None)
    parameters = inspect.signature(transform).parameters.values() if transform is not None else ()
    return {
        p.name: _plain(p.default)
        for p in parameters
        if p.default is not inspect.Parameter.empty and p.name not in IGNORED
    }


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return getattr(value, "value", value)  # of MONAI's enumerations
