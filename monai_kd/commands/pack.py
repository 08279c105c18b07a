# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import copy
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_kd.commands.composition import Composition, config_files, importable, in_bundle, left_to, merge
from monai_kd.commands.description import described
from monai_kd.commands.packed_files import carry
from monai_kd.commands.plain import foreign, strings
from monai_kd.commands.reached import reached
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import ConfigError
from monai_kd.utils.preprocessing import PLACES, differences, read_preprocessing

__all__ = ["pack"]

STUDENT = "models/model.pt"
_TEACHERS = ("teacher_checkpoint", "teacher_checkpoints")
_PLACES = {"bundle_root", "checkpoint", "dataset_dir", "device", "output_dir", *_TEACHERS}  # of this machine


def pack(composed: Composition, out: str | os.PathLike) -> Path:
    """Write a bundle and what is laid over it as one bundle that needs no file of monai_kd, all in JSON.

    Its `train.json` is the bundle's with the recipe in it, and `train_teacher.json` or `train_alone.json` are the
    bundle's own, each with all that it needs. `metadata.json` says by which recipe, from which paper and from which
    teacher, by checksum. The student comes along if it is there (see :func:`carry`), the teacher never does, nor does
    what is typed of places on this machine.

    Args:
        composed: a bundle's training and what is laid over it. A setting (a number, a text, a list of them) that is
            laid over the training reaches `inference`, too, where its preprocessing, network or inferer reads it.
        out: the folder to write; it appears when it is complete.

    Raises:
        ConfigError: `out` holds something; what is laid over the bundle is no recipe, or one that publishes another
            network than the plain student; `inference` names other classes than MONAI's and torch's, would build
            another network than `train`, or prepares images otherwise; a file has no equal in JSON.
        CheckpointError: the student's weights are of another training, cannot be read, are not what their checksum
            says, or are no tensors; the TorchScript beside them has others.
    """
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError("is not empty", where=str(out), fix="pack into a new folder")
    if composed.options:
        raise ConfigError("is for running, not for packing", where=", ".join(f"--{key}" for key in composed.options))
    if not composed.info.get("id"):
        raise ConfigError("has no `recipe:` block", where=str(composed.recipe.path), fix="pack takes a recipe")
    if composed.info.get("rebuilds"):
        why = "the network it publishes is not the plain student that `inference` builds"
        raise ConfigError(
            "cannot be packed", where=composed.recipe.id, why=why, fix="export the network to TorchScript"
        )
    for stem in ("metadata", "inference"):
        in_bundle(composed.bundle, stem)
    whole = composed.merged()
    composed = composed._replace(overrides={k: v for k, v in composed.overrides.items() if not _is_place(k, v)})
    configs = {"train": composed.merged()}
    for file in config_files(composed.bundle):
        if file.stem.startswith("train_"):
            configs[file.stem] = _another_way(composed, file)
        elif file.stem != "train":
            configs[file.stem] = ConfigParser.load_config_file(file)
    for stem, config in configs.items():
        _check_alone(stem, config)
    over = {**_settings(composed, configs), **composed.published}
    configs["inference"] = merge([in_bundle(composed.bundle, "inference")], over)
    with importable(composed.bundle):
        _check_preprocessing(composed, configs)
        _check_inference(composed, configs)
        here = _parser({**configs, "train": whole}, "train", composed.bundle.resolve())
        teachers = _teachers(here, composed.bundle.resolve(), reached(whole))
        student = Path(here.get_parsed_content("checkpoint") if "checkpoint" in here else composed.bundle / STUDENT)
        origin = here.get_parsed_content("origin") if "origin" in here else {}
        configs["metadata"] = described(configs["metadata"], here, composed, teachers)
    texts = {stem: _as_json(stem, config) for stem, config in configs.items()}

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        build = Path(scratch) / "bundle"
        (build / "configs").mkdir(parents=True)
        for stem, text in texts.items():
            (build / "configs" / f"{stem}.json").write_text(text, encoding="utf-8")
        carry(composed.bundle, student, origin, build, set(teachers.values()))
        if out.is_dir():
            out.rmdir()
        os.replace(build, out)
    return out


def _is_place(key: str, value: Any) -> bool:
    """Whether it says where something is on this machine: the packed bundle keeps what the bundle says."""
    return key in _PLACES and not str(value).startswith(("$", "@", "%"))


def _another_way(composed: Composition, file: Path) -> dict[str, Any]:
    """The bundle's own override (`train_teacher`), whole, and what is typed of keys that it has."""
    files = [composed.files[0], *composed.theirs, file]
    there = ConfigParser(merge(files))
    return merge(files, {k: v for k, v in left_to(file, composed.overrides).items() if k in there})


def _teachers(parser: ConfigParser, root: Path, read: set[str]) -> dict[str, str]:
    """Names and checksums of the weights that the training reads as a teacher's, of those that are there."""
    found = {}
    for key in sorted({*_TEACHERS} & read):
        value = parser.get_parsed_content(key)
        for path in map(Path, [value] if isinstance(value, (str, os.PathLike)) else value):
            if path.is_file():
                inside = path.resolve().is_relative_to(root)
                found[path.resolve().relative_to(root).as_posix() if inside else path.name] = file_sha256(path)
    return found


def _parser(configs: dict[str, Any], stem: str, root: Path) -> ConfigParser:
    return ConfigParser({**copy.deepcopy(configs[stem]), "bundle_root": str(root), "_meta_": configs["metadata"]})


def _check_alone(stem: str, config: dict[str, Any]) -> None:
    for key, text in strings(config):
        if text.startswith("%") and ConfigParser.split_path_id(text[1:])[0]:
            fix = "write the value itself there"
            raise ConfigError(f"reads another file, {text!r}", where=f"{stem}, {key}", fix=fix)


def _check_inference(composed: Composition, configs: dict[str, Any]) -> None:
    where = f"{composed.bundle}, inference"
    others = foreign(configs["inference"])
    if others:
        what = f"names more than MONAI and torch: {', '.join(others)}"
        raise ConfigError(what, where=where, why="a published student must load where monai_kd is not installed")
    parameters = []
    for stem in ("train", "inference"):
        parser = _parser(configs, stem, composed.bundle.resolve())
        if "torch.jit.load" in str(configs[stem].get("network_def")):  # what training exports, if it has
            if not Path(parser.get_parsed_content("checkpoint")).is_file():
                return
        network = parser.get_parsed_content("network_def")
        parameters.append({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    if parameters[0] != parameters[1]:
        differ = sorted(dict(parameters[0].items() ^ parameters[1].items()))
        why = f"{len(differ)} tensors differ, the first is {differ[0]!r}"
        fix = "give inference the network_def that train has, as --inference::network_def::KEY VALUE"
        raise ConfigError("builds another network than train", where=where, why=why, fix=fix)


def _settings(composed: Composition, configs: dict[str, Any]) -> dict[str, Any]:
    """What is laid over the training and read by inference under the same name: numbers, texts, lists of them."""
    before, train, inference = ConfigParser.load_config_file(composed.files[0]), configs["train"], configs["inference"]
    read = reached(inference, ("preprocessing", "network_def", "inferer")) - _PLACES
    same = [key for key in before.keys() & inference.keys() & read if before[key] == inference[key]]
    return {key: train[key] for key in sorted(same) if train.get(key) != before[key] and _is_setting(train[key])}


def _is_setting(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_setting, value))
    return isinstance(value, (int, float)) or (isinstance(value, str) and value[:1] not in ("$", "@", "%"))


def _check_preprocessing(composed: Composition, configs: dict[str, Any]) -> None:
    steps = []
    for stem in ("train", "inference"):
        parser = _parser(configs, stem, composed.bundle.resolve())
        parser.resolve_macro_and_relative_ids()
        if not any(place in parser for place in PLACES):
            return
        steps.append(read_preprocessing(parser))
    found = differences(*steps, names=("training", "inference"), as_written=False)
    what, why = "prepares images otherwise than train", "; ".join(found)
    if found and not any(key.startswith("preprocessing") for key in composed.published):
        fix = (
            "lay over inference what is to be: --inference::preprocessing::transforms, or ::KEY VALUE of what it reads"
        )
        raise ConfigError(what, where=f"{composed.bundle}, inference", why=why, fix=fix)
    if found:
        warnings.warn(f"{composed.bundle}, inference: {what}, as was asked for: {why}", stacklevel=3)


def _as_json(stem: str, config: dict[str, Any]) -> str:
    why = "keys must be text"
    try:
        text = json.dumps(config, indent=4, allow_nan=False) + "\n"
        if json.loads(text) == config:
            return text
    except (TypeError, ValueError) as error:
        why = str(error)
    raise ConfigError("has no equal in JSON", where=f"{stem} of the bundle, or what is laid over it", why=why)
