# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, update_kwargs

import monai_kd
from monai_kd.commands.overrides import read_overrides, typed
from monai_kd.recipes import Recipe, check_keys, check_paths, lay_over, list_recipes, load_recipe
from monai_kd.utils.bundle import ENDINGS, config_files, importable, in_bundle
from monai_kd.utils.errors import ConfigError, UnknownNameError, suggest

__all__ = ["Composition", "compose", "config_files", "importable", "in_bundle", "left_to", "merge", "several"]

_PUBLISHED = "inference::"
_RECIPES = Path(monai_kd.__file__).resolve().parent / "recipes"
_OPTIONS = set(inspect.signature(monai.bundle.run).parameters) - {"override"}


class Composition(NamedTuple):
    """A bundle's training, and what is laid over it: what `monai.bundle.run` is given."""

    bundle: Path
    recipe: Recipe
    files: list[Path]
    """`train.yaml`, the recipe, and more, in the order in which they are laid over each other. An override of the
    bundle's own, such as `train_teacher`, comes after files that were named by their path, and after those that speak
    of the student's network if it has another: it has the last word on what it is about, the teacher's network,
    whichever network they say is the student's."""
    overrides: dict[str, Any]
    """Keys and values laid over the files."""
    options: dict[str, Any]
    """Arguments of `monai.bundle.run` itself."""
    named: tuple[Path, ...] = ()
    """Files that were named by their path: not those of the package, nor of the bundle's `configs`."""
    published: Mapping[str, Any] = MappingProxyType({})
    """Keys and values laid over the bundle's `inference`, for `pack`."""

    @property
    def theirs(self) -> list[Path]:
        """Of `files`, those that were named by their path and are no recipe."""
        return [file for file in self.files if file in self.named and file != self.recipe.path]

    @property
    def info(self) -> dict[str, Any]:
        """The `recipe:` block; empty where an override of the bundle's own stands for the recipe."""
        return self.recipe.config.get("recipe") or {}

    def merged(self) -> dict[str, Any]:
        """The configuration that all of this makes, see :func:`merge`."""
        return merge(self.files, self.overrides)


def merge(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Lay files and overrides over each other by MONAI's rules.

    Raises:
        ConfigError: a key that cannot be laid over what is below it; names the file and the key.
    """
    parser = ConfigParser({})
    for source, layer in [*((file.name, _read(file)) for file in files), ("command line", overrides or {})]:
        lay_over(parser, layer, source)
    return parser.get()


def compose(
    name: str,
    bundle: str | Path,
    config_file: str | None,
    tokens: Sequence[str],
    below: Mapping[str, Any] | None = None,
) -> Composition:
    """Lay a recipe and overrides over a bundle's training.

    Args:
        name: a recipe's id, its path, or the name of an override in the bundle's `configs`.
        bundle: the bundle's folder.
        config_file: more files, as MONAI takes them: one, several with commas between, or a list; looked for where the
            command was typed, then in the bundle's `configs`.
        tokens: the overrides as they were typed.
        below: more overrides, below those.

    Raises:
        ConfigError: no such folder or file; a recipe that is not for this kind of bundle or of label; an override MONAI
            would misread.
        UnknownNameError: no such recipe; a key that nothing reads.
    """
    folder = Path(bundle)
    if not folder.is_dir():
        raise ConfigError("no such folder", where=str(folder), fix="--bundle takes a bundle's folder")
    given = read_overrides(tokens)
    _no_plus(given)
    read = [Path(given["args_file"])] if isinstance(given.get("args_file"), str) else []
    if "args_file" in given:
        given = update_kwargs(given.pop("args_file"), ignore_none=False, **given)
        _no_plus(given)
    options = {key: given.pop(key) for key in sorted(_OPTIONS & given.keys())}
    more = options.pop("config_file", [])
    if config_file is not None:
        more = DefaultParseValue(config_file)
    recipe = _recipe(name, folder)
    laid, own = [_laid_over(folder, file) for file in several(more)], (folder / "configs").resolve()
    named = [file for file in (recipe.path, *laid) if file.resolve().parent not in (own, _RECIPES)]
    if recipe.path.resolve().parent == own:
        first = [file for file in laid if file in named or _of_the_student(file, recipe.path)]
        laid = [file for file in laid if file not in first]
        files = [in_bundle(folder, "train"), *first, recipe.path, *laid]
    else:
        files = [in_bundle(folder, "train"), recipe.path, *laid]
    published = {key: given.pop(key) for key in sorted(given) if key.startswith(_PUBLISHED)}
    given = {**(below or {}), **given}
    overrides = {k: "$None" if v is None else v for k, v in given.items()}  # MONAI ignores an override that is None
    base, *overlays = (_read(file) for file in files)
    published = {k.removeprefix(_PUBLISHED): "$None" if v is None else v for k, v in published.items()}
    composed = Composition(folder, recipe, files, overrides, options, (*read, *named), published)
    _check_kind(composed)
    check_keys({**base, **dict.fromkeys(_read_by_monai(options))}, [*overlays, overrides])
    merged = composed.merged()  # and what cannot be merged fails here rather than inside MONAI
    check_paths(base, [*overlays, overrides], merged)
    _check_labels(composed, merged)
    return composed


def _read_by_monai(options: dict[str, Any]) -> list[str]:
    """Keys that MONAI's `run` reads from a configuration by itself."""
    tracking = ["output_dir", "tracking_uri", "experiment_name", "run_name", "save_execute_config"]
    named = [options[key] for key in ("init_id", "run_id", "final_id") if key in options]
    return ["bundle_root", *named, *(tracking if "tracking" in options else [])]


def _recipe(name: str, bundle: Path) -> Recipe:
    """A recipe of the package, a file, or an override of the bundle's own (`train_teacher`)."""
    mine = {recipe.id: recipe for recipe in list_recipes()}
    alone = ("train", "metadata", "inference")
    own = {file.stem: Recipe(file) for file in config_files(bundle) if file.stem not in alone}
    if name in mine or Path(name).suffix in ENDINGS:
        return load_recipe(name)
    if name.startswith("inference") and (name in own or name == "inference"):
        files = [str(in_bundle(bundle, stem)) for stem in dict.fromkeys(("inference", name))]
        given = typed("config_file", files if len(files) > 1 else files[0])
        fix = f"python -m monai.bundle run {typed('bundle_root', str(bundle))} {given}"
        raise ConfigError("is no training; the student's inference needs MONAI alone", where=repr(name), fix=fix)
    if name not in own:
        fix = suggest(name, [*mine, *own], "recipes, and overrides of the bundle", limit=50)
        raise UnknownNameError(f"no recipe {name!r}", fix=fix)
    return own[name]


def _laid_over(bundle: Path, name: str) -> Path:
    for file in (Path(name), *(bundle / "configs" / f"{name}{ending}" for ending in ("", *ENDINGS))):
        if file.is_file():
            return file
    raise ConfigError("no such file, neither here nor in the bundle's configs", where=f"--config_file {name}")


def _read(file: Path) -> dict[str, Any]:
    config = ConfigParser.load_config_file(file)
    if not isinstance(config, dict):
        raise ConfigError("holds no keys and values", where=str(file))
    return config


def _of_the_student(file: Path, override: Path) -> bool:
    """Whether `file` speaks of a network that `override` has another for."""
    return "network_def" in _read(override) and any(key.split("::")[0] == "network_def" for key in _read(file))


def left_to(file: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Those overrides of a student that an override of the bundle's own, such as `train_teacher`, does not speak of.

    Args:
        file: the bundle's.
        overrides: keys and values.
    """
    fixed = _read(file)
    return {k: v for k, v in overrides.items() if not any(k == f or k.startswith(f"{f}::") for f in fixed)}


def several(files: Any) -> list[str]:
    """The files that `--config_file` names: a list, or a text with commas between.

    Args:
        files: as it was typed, read as a literal of Python.
    """
    return files.split(",") if isinstance(files, str) else [str(file) for file in files]


def _no_plus(overrides: dict[str, Any]) -> None:
    for key in overrides:
        if key.startswith("+"):
            fix = "write it into a file and give it as --config_file"
            raise ConfigError("MONAI replaces here, it does not append", where=f"--{key}", fix=fix)


def _check_kind(composed: Composition) -> None:
    file = composed.bundle / "configs" / "metadata.json"
    kind = ConfigParser.load_config_file(file).get("kind") if file.is_file() else None
    kinds = composed.info.get("kinds")
    if kind is None or kinds is None or kind in kinds:
        return
    fitting = [recipe.id for recipe in list_recipes() if kind in recipe.info["kinds"]]
    raise ConfigError(
        f"recipe {composed.recipe.id!r} is for {', '.join(kinds)}, this bundle's kind is {kind!r}",
        where=str(composed.bundle),
        fix=f"recipes that fit: {', '.join(fitting) or 'none'}",
    )


def _check_labels(composed: Composition, config: Mapping[str, Any]) -> None:
    """Refuse a recipe that compares a softmax over classes where labels may occur together."""
    kinds = composed.info.get("kinds") or []
    if config.get("sigmoid") is True and "classification" in kinds and "multilabel_classification" not in kinds:
        fitting = [recipe.id for recipe in list_recipes() if "multilabel_classification" in recipe.info["kinds"]]
        raise ConfigError(
            f"recipe {composed.recipe.id!r} is for classes that exclude each other, here labels may occur together",
            where=f"{composed.bundle}, 'sigmoid'",
            fix=f"recipes that fit: {', '.join(fitting)}",
        )
