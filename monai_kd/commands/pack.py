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
from torch import nn

from monai_kd.commands.composition import Composition, config_files, importable, in_bundle, left_to, merge
from monai_kd.commands.description import described
from monai_kd.commands.packed_files import carry
from monai_kd.commands.plain import foreign, strings
from monai_kd.commands.reached import reached
from monai_kd.networks.origin import check_origin, read_origin
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import CheckpointError, ConfigError
from monai_kd.utils.preprocessing import PLACES, differences, read_preprocessing

__all__ = ["pack"]

_STUDENT = "models/model.pt"
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
    whole, places = composed.merged(), {k for k, v in composed.overrides.items() if _is_place(k, v)}
    composed = composed._replace(overrides={k: v for k, v in composed.overrides.items() if k not in places})
    configs = {"train": composed.merged()}
    for file in config_files(composed.bundle):
        if file.stem.startswith("train_"):
            configs[file.stem] = _another_way(composed, file)
        elif file.stem != "train":
            configs[file.stem] = ConfigParser.load_config_file(file)
    for stem, config in configs.items():
        _check_alone(stem, config)
    over = {**_settings(composed, configs), **composed.published}
    configs["inference"] = merge(_inference(composed), over)
    with importable(composed.bundle):
        _check_preprocessing(composed, configs)
        network = _check_inference(composed, configs)
        here = _parser({**configs, "train": whole}, "train", composed.bundle.resolve())
        teachers = _teachers(here, composed.bundle.resolve(), reached(whole))
        student = _student(here, composed.bundle, named="checkpoint" in places)
        teachers = _of_the_student(teachers, student)
        configs["metadata"] = described(configs["metadata"], here, composed, teachers)
    texts = {stem: _as_json(stem, config) for stem, config in configs.items()}

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        build = Path(scratch) / "bundle"
        (build / "configs").mkdir(parents=True)
        for stem, text in texts.items():
            (build / "configs" / f"{stem}.json").write_text(text, encoding="utf-8")
        carry(composed.bundle, student, network, build, set(teachers.values()))
        if out.is_dir():
            out.rmdir()
        os.replace(build, out)
    return out


def _inference(composed: Composition) -> list[Path]:
    """The bundle's `inference`, and `inference_NAME` of each of its own files that is laid over the training."""
    own = {file.stem: file for file in config_files(composed.bundle)}
    more = [f"inference_{file.stem}" for file in composed.files[2:] if file not in composed.named]
    return [own[stem] for stem in ("inference", *more) if stem in own]


def _is_place(key: str, value: Any) -> bool:
    """Whether it says where something is on this machine: the packed bundle keeps what the bundle says."""
    return key in _PLACES and not str(value).startswith(("$", "@", "%"))


def _another_way(composed: Composition, file: Path) -> dict[str, Any]:
    """The bundle's own override (`train_teacher`), whole, and what is typed of keys that it has."""
    files = [composed.files[0], *composed.theirs, file]
    there = ConfigParser(merge(files))
    return merge(files, {k: v for k, v in left_to(file, composed.overrides).items() if k in there})


def _student(parser: ConfigParser, bundle: Path, named: bool) -> Path:
    """The weights to publish, if they are there; of this training, as far as that is known."""
    student = Path(parser.get_parsed_content("checkpoint") if "checkpoint" in parser else bundle / _STUDENT)
    if named and not student.is_file():
        raise CheckpointError("no such file", where=str(student), fix="--checkpoint names the student's weights")
    check_origin(student, parser.get_parsed_content("origin") if "origin" in parser else {})
    return student


def _of_the_student(teachers: dict[str, str], student: Path) -> dict[str, str]:
    """The teachers that are there, if they taught this student; else those that did, without their names."""
    taught = read_origin(student).get("teachers")
    if taught is None or set(taught) == set(teachers.values()):
        return teachers
    if teachers:
        fix = "give --teacher or --teacher_checkpoint as for its training, or train it again"
        what = f"was taught by other weights than {', '.join(teachers)}"
        raise CheckpointError(what, where=str(student), fix=fix)
    return {sha: sha for sha in taught}


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


def _check_inference(composed: Composition, configs: dict[str, Any]) -> nn.Module:
    """Return the student's network, as training builds it."""
    where = f"{composed.bundle}, inference"
    others = foreign(configs["inference"])
    if others:
        what = f"names more than MONAI and torch: {', '.join(others)}"
        raise ConfigError(what, where=where, why="a published student must load where monai_kd is not installed")
    network = _parser(configs, "train", composed.bundle.resolve()).get_parsed_content("network_def")
    if "torch.jit.load" in str(configs["inference"].get("network_def")):  # what training exports
        return network
    built = _parser(configs, "inference", composed.bundle.resolve()).get_parsed_content("network_def")
    shapes = [{(name, tuple(value.shape)) for name, value in net.state_dict().items()} for net in (network, built)]
    differ = sorted({name for name, _ in shapes[0] ^ shapes[1]})
    if differ:
        why = f"{len(differ)} tensors differ, the first is {differ[0]!r}"
        fix = "give inference the network_def that train has, as --inference::network_def::KEY VALUE"
        raise ConfigError("builds another network than train", where=where, why=why, fix=fix)
    return network


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
